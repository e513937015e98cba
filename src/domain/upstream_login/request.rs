//! The request that asks the application's login: written by the operator, filled in with what the client submitted.
//!
//! What a client sends becomes a value in it, never a name, a part of the path or a header; in JSON it is always a text, so
//! that nobody can send an operator of the application's database for a password.

use std::fmt;

use serde_json::{Map, Number, Value};
use zeroize::Zeroizing;

/// A text with `{field}` in it, each standing for a submitted field; `{{` and `}}` are braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(String),
}

/// Why a text is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    #[error("a brace is not closed, or closed twice")]
    Brace,
    #[error("a field is named with letters, digits, `_`, `-` and `.`")]
    Name,
}

impl Template {
    /// # Errors
    /// [`TemplateFault`].
    pub fn parse(text: &str) -> Result<Self, TemplateFault> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if let Some(doubled) = after.strip_prefix(brace) {
                plain.push_str(brace);
                rest = doubled;
                continue;
            }
            let (name, after) = after.split_once('}').filter(|_| brace == "{").ok_or(TemplateFault::Brace)?;
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
            if name.is_empty() || !name.bytes().all(fits) {
                return Err(TemplateFault::Name);
            }
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Field(name.to_owned()));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// Exactly what was submitted as this field.
    #[must_use]
    pub fn of_field(name: &str) -> Self {
        Self(vec![Part::Field(name.to_owned())])
    }

    #[must_use]
    pub fn fields(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for part in &self.0 {
            if let Part::Field(name) = part {
                names.push(name.as_str());
            }
        }
        names
    }

    /// `None` if a field was not submitted.
    fn fill<'f>(&self, field: &impl Fn(&str) -> Option<&'f str>) -> Option<Zeroizing<String>> {
        let mut filled = Zeroizing::new(String::new());
        for part in &self.0 {
            filled.push_str(match part {
                Part::Text(text) => text,
                Part::Field(name) => field(name)?,
            });
        }
        Some(filled)
    }
}

/// A JSON value with templates for texts.
#[derive(Clone, Debug, PartialEq)]
pub enum TemplateValue {
    Text(Template),
    Number(Number),
    Flag(bool),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// What is sent.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyTemplate {
    /// As a browser sends a form.
    Form(Vec<(String, Template)>),
    Json(Vec<(String, TemplateValue)>),
}

/// A body with everything filled in. Its `Debug` hides it; its memory is wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestBody {
    pub media_type: &'static str,
    pub bytes: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestBody({})", self.media_type)
    }
}

impl BodyTemplate {
    /// Every field it takes something from.
    #[must_use]
    pub fn fields(&self) -> Vec<&str> {
        match self {
            Self::Form(members) => members.iter().flat_map(|(_, template)| template.fields()).collect(),
            Self::Json(members) => members.iter().flat_map(|(_, value)| value.fields()).collect(),
        }
    }

    /// The body for these fields; a member whose field was not submitted is left out.
    #[must_use]
    pub fn fill<'f>(&self, field: impl Fn(&str) -> Option<&'f str>) -> RequestBody {
        match self {
            Self::Form(members) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                for (name, template) in members {
                    if let Some(value) = template.fill(&field) {
                        form.append_pair(name, &value);
                    }
                }
                let bytes = Zeroizing::new(form.finish().into_bytes());
                RequestBody { media_type: "application/x-www-form-urlencoded", bytes }
            }
            Self::Json(members) => {
                let bytes = Zeroizing::new(object(members, &field).to_string().into_bytes());
                RequestBody { media_type: "application/json", bytes }
            }
        }
    }
}

impl TemplateValue {
    fn fields(&self) -> Vec<&str> {
        match self {
            Self::Text(template) => template.fields(),
            Self::Number(_) | Self::Flag(_) => Vec::new(),
            Self::List(items) => items.iter().flat_map(Self::fields).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, value)| value.fields()).collect(),
        }
    }

    fn fill<'f>(&self, field: &impl Fn(&str) -> Option<&'f str>) -> Option<Value> {
        Some(match self {
            Self::Text(template) => Value::from(template.fill(field)?.as_str()),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Flag(flag) => Value::Bool(*flag),
            Self::List(items) => Value::Array(items.iter().filter_map(|item| item.fill(field)).collect()),
            Self::Object(members) => object(members, field),
        })
    }
}

fn object<'f>(members: &[(String, TemplateValue)], field: &impl Fn(&str) -> Option<&'f str>) -> Value {
    let filled: Map<String, Value> =
        members.iter().filter_map(|(name, value)| Some((name.clone(), value.fill(field)?))).collect();
    Value::Object(filled)
}

//! The request that asks the application's login: written by the operator, filled in with what the client submitted, and with
//! what the application's own page has for it.
//!
//! What a client sends becomes a value in it, never a name, a part of the path or a header; in JSON it is always a text, so
//! that nobody can send an operator of the application's database for a password.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Number, Value};
use zeroize::Zeroizing;

/// A text with blanks: `{field}` stands for a submitted field, `{page:field}` for one of the login page; `{{` and `}}` are
/// braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(String),
    Page(String),
}

/// What a blank of a template is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blank<'t> {
    /// What was submitted as this field.
    Submitted(&'t str),
    /// What the login page has in this field.
    Page(&'t str),
}

/// Why a text is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    #[error("a brace is not closed, or closed twice")]
    Brace,
    #[error("a field is named with letters, digits, `_`, `-` and `.`")]
    Name,
    #[error("a field of the page is named with visible ASCII characters but braces")]
    PageName,
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
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(blank(name)?);
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
    pub fn blanks(&self) -> Vec<Blank<'_>> {
        self.0.iter().filter_map(Part::blank).collect()
    }

    /// `None` if there is nothing for a blank.
    fn fill<'f>(&self, with: &impl Fn(Blank<'_>) -> Option<&'f str>) -> Option<Zeroizing<String>> {
        let mut filled = Zeroizing::new(String::new());
        for part in &self.0 {
            match (part, part.blank()) {
                (Part::Text(text), _) => filled.push_str(text),
                (_, blank) => filled.push_str(with(blank?)?),
            }
        }
        Some(filled)
    }
}

impl Part {
    fn blank(&self) -> Option<Blank<'_>> {
        match self {
            Self::Text(_) => None,
            Self::Field(name) => Some(Blank::Submitted(name)),
            Self::Page(name) => Some(Blank::Page(name)),
        }
    }
}

/// What stands between braces.
fn blank(name: &str) -> Result<Part, TemplateFault> {
    if let Some(name) = name.strip_prefix("page:") {
        // The application chooses: `login[_token]`, `javax.faces.ViewState`, `ctl00$token`.
        let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'{');
        return if fits { Ok(Part::Page(name.to_owned())) } else { Err(TemplateFault::PageName) };
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let fits = !name.is_empty() && name.bytes().all(fits);
    if fits { Ok(Part::Field(name.to_owned())) } else { Err(TemplateFault::Name) }
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
    /// Every blank it has.
    #[must_use]
    pub fn blanks(&self) -> Vec<Blank<'_>> {
        match self {
            Self::Form(members) => members.iter().flat_map(|(_, template)| template.blanks()).collect(),
            Self::Json(members) => members.iter().flat_map(|(_, value)| value.blanks()).collect(),
        }
    }

    /// The fields of the login page that it takes something from, each once.
    #[must_use]
    pub fn page_fields(&self) -> Vec<String> {
        let names = self.blanks().into_iter().filter_map(|blank| match blank {
            Blank::Page(name) => Some(name.to_owned()),
            Blank::Submitted(_) => None,
        });
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The body with its blanks filled so; a member whose field was not submitted is left out.
    #[must_use]
    pub fn fill<'f>(&self, with: impl Fn(Blank<'_>) -> Option<&'f str>) -> RequestBody {
        match self {
            Self::Form(members) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                for (name, template) in members {
                    if let Some(value) = template.fill(&with) {
                        form.append_pair(name, &value);
                    }
                }
                let bytes = Zeroizing::new(form.finish().into_bytes());
                RequestBody { media_type: "application/x-www-form-urlencoded", bytes }
            }
            Self::Json(members) => {
                let bytes = Zeroizing::new(object(members, &with).to_string().into_bytes());
                RequestBody { media_type: "application/json", bytes }
            }
        }
    }
}

impl TemplateValue {
    fn blanks(&self) -> Vec<Blank<'_>> {
        match self {
            Self::Text(template) => template.blanks(),
            Self::Number(_) | Self::Flag(_) => Vec::new(),
            Self::List(items) => items.iter().flat_map(Self::blanks).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, value)| value.blanks()).collect(),
        }
    }

    fn fill<'f>(&self, with: &impl Fn(Blank<'_>) -> Option<&'f str>) -> Option<Value> {
        Some(match self {
            Self::Text(template) => Value::from(template.fill(with)?.as_str()),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Flag(flag) => Value::Bool(*flag),
            Self::List(items) => Value::Array(items.iter().filter_map(|item| item.fill(with)).collect()),
            Self::Object(members) => object(members, with),
        })
    }
}

fn object<'f>(members: &[(String, TemplateValue)], with: &impl Fn(Blank<'_>) -> Option<&'f str>) -> Value {
    let filled: Map<String, Value> =
        members.iter().filter_map(|(name, value)| Some((name.clone(), value.fill(with)?))).collect();
    Value::Object(filled)
}

//! The page that a login form stands on, where the application refuses a login that does not come from it: what the login
//! takes from there.
//!
//! A page that is not as it should be logs nobody in, and never says that a password is wrong: it was not even sent.

use std::fmt;

use http::{StatusCode, header};

use super::{Answer, Doubt, LoginRules, Verdict, trouble};
use crate::domain::login_form;

/// Values of the page's fields, by their names. Its `Debug` hides them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PageValues(Vec<(String, String)>);

impl LoginRules {
    /// Judges the answer to the request for the page.
    #[must_use]
    pub fn judge_page(answer: Answer<'_>) -> Verdict {
        trouble(answer).unwrap_or(if answer.status == StatusCode::OK {
            Verdict::Success
        } else {
            Verdict::Unclear(Doubt::Page(answer.status.as_u16()))
        })
    }
}

impl PageValues {
    /// # Errors
    /// The [`Doubt`] about the page, if one of these fields cannot be told.
    pub fn read(answer: Answer<'_>, names: &[String]) -> Result<Self, Doubt> {
        if !names.is_empty() && !is_html(answer) {
            return Err(Doubt::NoHtml);
        }
        let read = |name: &String| match login_form::field(answer.body, name) {
            Ok(value) => Ok((name.clone(), value)),
            Err(fault) => Err(Doubt::PageField(name.clone(), fault)),
        };
        names.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for PageValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// In no coding, since none was asked for.
fn is_html(answer: Answer<'_>) -> bool {
    let media_type = answer.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let essence = media_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let is_html = [&b"text/html"[..], b"application/xhtml+xml"].iter().any(|html| essence.eq_ignore_ascii_case(html));
    is_html && !answer.is_coded()
}

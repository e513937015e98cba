//! What a page's login form carries to be sent back with name and password: most of all the token against forgery.
//!
//! Read as a browser reads the page: what stands in comments, scripts and texts is no field. Nothing is guessed: fields of
//! one name that differ are none, since nobody can tell which form is the one.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

/// Why a page has no value for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    #[error("is not there")]
    Missing,
    #[error("is there more than once, with different values")]
    Several,
    #[error("is empty")]
    Empty,
    #[error("is not UTF-8")]
    NotText,
}

/// The value of the page's `input` of this name or, where there is none, the content of its `meta` of this name.
///
/// # Errors
/// [`FieldFault`].
pub fn field(page: &[u8], name: &str) -> Result<String, FieldFault> {
    let values = values(page, name);
    let mut values = if values.inputs.is_empty() { values.metas } else { values.inputs };
    let value = values.pop().ok_or(FieldFault::Missing)?;
    if values.iter().any(|other| *other != value) {
        return Err(FieldFault::Several);
    }
    if value.is_empty() {
        // A script fills it in, perhaps: the application would take what is sent for a forgery.
        return Err(FieldFault::Empty);
    }
    String::from_utf8(value).map_err(|_| FieldFault::NotText)
}

#[derive(Default)]
struct Values {
    inputs: Vec<Vec<u8>>,
    metas: Vec<Vec<u8>>,
}

fn values(page: &[u8], name: &str) -> Values {
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut values = Values::default();
    for Ok(token) in Tokenizer::new_with_emitter(page, emitter) {
        let Token::StartTag(tag) = token else { continue };
        if attribute(&tag, "name") != Some(name.as_bytes()) {
            continue;
        }
        match tag.name.as_slice() {
            b"input" => values.inputs.push(attribute(&tag, "value").unwrap_or_default().to_vec()),
            b"meta" => values.metas.push(attribute(&tag, "content").unwrap_or_default().to_vec()),
            _ => {}
        }
    }
    values
}

fn attribute<'t>(tag: &'t StartTag<()>, name: &str) -> Option<&'t [u8]> {
    Some(tag.attributes.get(name.as_bytes())?.value.as_slice())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    fn value(page: &str) -> Result<String, FieldFault> {
        field(page.as_bytes(), "token")
    }

    #[test]
    fn a_field_has_the_value_that_a_browser_would_send() {
        for page in [
            r#"<form><input type="hidden" name="token" value="a&b"></form>"#,
            "<INPUT VALUE='a&amp;b' TYPE=hidden NAME=token>",
            r#"<input name="token" value="a&#38;b"/><input name="other" value="x">"#,
            r#"<meta name="token" content="a&amp;b"><p>token"#,
            r#"<input name=token value="a&amp;b"><form><input name=token value="a&amp;b">"#,
            r#"<meta name="token" content="x"><input name="token" value="a&amp;b">"#,
            r#"<input name="token" name="other" value="a&#x26;b" value="x">"#,
            r#"<!-- <form> --><script>"<!--"</script><input name="token" value="a&b">"#,
            r#"<p title="<input name='token' value='x'>"><input name="token" value="a&b">"#,
        ] {
            assert_eq!(value(page).as_deref(), Ok("a&b"), "{page}");
        }
    }

    #[test]
    fn what_is_no_field_of_the_page_is_not_taken_for_one() {
        for page in [
            "",
            "token",
            r#"<input name="Token" value="x">"#,
            r#"<!-- <input name="token" value="x"> -->"#,
            r#"<script>'<input name="token" value="x">'</script>"#,
            r#"<style><input name="token" value="x"></style>"#,
            r#"<textarea><input name="token" value="x"></textarea>"#,
            r#"<title><input name="token" value="x"></title>"#,
            r#"<noscript><input name="token" value="x"></noscript>"#,
            r#"<button name="token" value="x">"#,
            r#"<input data-name="token" value="x">"#,
            r#"<input id="token" value="x">"#,
            r#"&lt;input name="token" value="x"&gt;"#,
            r#"<input name="token" value="x"#,
        ] {
            assert_eq!(value(page), Err(FieldFault::Missing), "{page}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_told_is_none() {
        let several = r#"<input name="token" value="x"><input name="token" value="y">"#;
        assert_eq!(value(several), Err(FieldFault::Several));
        assert_eq!(value(r#"<input name="token" value="x"><input name="token">"#), Err(FieldFault::Several));
        for empty in [r#"<input name="token">"#, r#"<meta name="token" content="x"><input name="token" value="">"#] {
            assert_eq!(value(empty), Err(FieldFault::Empty), "{empty}");
        }
        assert_eq!(field(b"<input name=token value='\xff'>", "token"), Err(FieldFault::NotText));
    }

    proptest! {
        #[test]
        fn whatever_the_page_is_reading_it_ends(page in proptest::collection::vec(any::<u8>(), 0..500)) {
            let _ = field(&page, "token");
        }

        /// However the value is written down, as long as it is quoted.
        #[test]
        fn every_value_is_read_as_it_was(value in "[ -~]{1,40}") {
            let mut written = String::new();
            value.chars().for_each(|char| write!(written, "&#{};", u32::from(char)).unwrap());
            let page = format!("<!doctype html><form><input type=hidden name='token' value=\"{written}\"></form>");
            prop_assert_eq!(field(page.as_bytes(), "token"), Ok(value));
        }
    }
}

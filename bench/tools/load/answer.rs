//! Where an HTTP answer ends. Only lengths that were announced are understood: what is measured announces them.

use std::io;

/// What is to be known of an answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Whether the connection is closed after it.
    pub(super) closes: bool,
}

/// The answer that the bytes begin with, if they hold it to its end.
///
/// # Errors
/// If it is no answer, or does not say how long it is.
pub(super) fn whole(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).map_err(io::Error::other)?;
    let status = head.get(9..12).and_then(|digits| digits.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("this is no HTTP answer"))?;
    let length: usize = field(head, "content-length")
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| io::Error::other("the answer does not say how long it is"))?;
    let closes = field(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let body = bytes.get(end + 4..end + 4 + length);
    Ok(body.map(|body| Answer { status, body: body.to_vec(), closes }))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

//! Cookies: each line of the input is a `Cookie` line, and also an application's `Set-Cookie`.
//!
//! What is believed stands there in exactly one way: alone, unquoted, in the one spelling, and so it is whatever other
//! cookies are around it. What the application gets holds nothing that anybody could take for ours, and the rest of it
//! unchanged; what it would set in our name is known whichever attributes follow.

use sidegate::domain::cookie::{Kind, SameSite, SessionCookies};

pub fn holds(input: &[u8]) {
    let cookies = SessionCookies::new("shop", SameSite::Lax);
    let lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();

    if let Ok(presented) = cookies.read(lines.iter().copied()) {
        for (kind, token) in [(Kind::Access, presented.access), (Kind::Refresh, presented.refresh)] {
            let Some(token) = token else { continue };
            let written = format!("{}={token}", cookies.name(kind));
            let pieces = lines.iter().flat_map(|line| line.split(|&byte| byte == b';'));
            let count = pieces.filter(|piece| piece.trim_ascii_start() == written.as_bytes()).count();
            assert_eq!(count, 1, "{written}");
            let twice = lines.iter().copied().chain([written.as_bytes()]);
            assert!(cookies.read(twice).is_err(), "a second one makes it nobody's");
        }
        let among = lines.iter().copied().chain([&b"theme=dark; lang"[..]]);
        assert!(cookies.read(among) == Ok(presented), "others do no harm");
    }

    for line in lines {
        if let Some(left) = cookies.without_ours(line) {
            let text = String::from_utf8_lossy(&left).to_ascii_lowercase();
            for piece in text.split(';').map(|piece| piece.trim_ascii_start().trim_start_matches(['=', ' ', '\t'])) {
                assert!(!piece.starts_with("__host-shop-"), "{piece}");
            }
            assert!(cookies.read([left.as_slice()]).is_ok_and(|presented| presented.is_empty()));
            assert_eq!(cookies.without_ours(&left).as_ref(), Some(&left), "once is enough");
        }
        let pair = line.split(|&byte| byte == b';').next().unwrap_or_default();
        assert_eq!(cookies.is_set_by(line), cookies.is_set_by(&[pair, b"; Path=/"].concat()));
        if cookies.is_set_by(line) {
            assert_ne!(
                cookies.without_ours(pair).as_deref(),
                Some(pair),
                "what would be set is ours when it comes back"
            );
        }
    }
}

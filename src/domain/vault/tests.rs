use proptest::prelude::*;

use super::*;

fn names(names: &[&str]) -> CookieNames {
    CookieNames::new(names.iter().map(|&name| name.to_owned()).collect()).unwrap()
}

fn stripped(value: &str) -> Option<String> {
    let names = names(&["PHPSESSID", "my_session"]);
    names.strip(value.as_bytes()).map(|left| String::from_utf8_lossy(&left).into_owned())
}

fn jar(lines: &[&str]) -> Jar {
    Jar::default().after(&change(lines))
}

fn change(lines: &[&str]) -> Change {
    names(&["PHPSESSID", "my_session"]).change(lines.iter().map(|line| line.as_bytes()), NOW)
}

fn cookie(jar: &Jar) -> Option<String> {
    jar.cookie([]).map(|bytes| String::from_utf8(bytes).unwrap())
}

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

#[test]
fn a_kept_cookie_is_taken_from_the_client_in_every_spelling() {
    for own in [
        "PHPSESSID=x",
        " PHPSESSID = x",
        "\tPHPSESSID\t=x",
        "=PHPSESSID=x",
        " = PHPSESSID=x",
        "PHPSESSID",
        "phpsessid=x",
        "%50HPSESSID=x",
        "PHPSESSID[0]=x",
        "PHPSESSID%5B0]=x",
        "\"PHPSESSID\"=x",
        "my.session=x",
        "my session=x",
        "my+session=x",
        "b=1, PHPSESSID=x",
        "b=1 PHPSESSID=x",
        "PHPSESSID=\"a",
        "$Version=1; PHPSESSID=x; PHPSESSID=y",
    ] {
        assert_eq!(stripped(own).filter(|left| left != "$Version=1"), None, "{own}");
        let between = format!("a=1; {own}; c=3");
        let left = stripped(&between).unwrap().replace("$Version=1; ", "");
        assert_eq!(left, "a=1; c=3", "{between}");
    }
    let names = names(&["PHPSESSID"]);
    for own in [&b"\xa0PHPSESSID=x"[..], b"\xc2\xa0PHPSESSID=x", b"a=\xa0PHPSESSID=x", b"PHPSESSID\x85=x"] {
        assert_eq!(names.strip(own), None, "{own:?}");
    }
}

#[test]
fn other_cookies_of_the_client_stay_as_they_are() {
    for other in [
        "a=1",
        "a=1;b=2",
        "XPHPSESSID=x",
        "PHPSESSIDX=x",
        "PHPSESSID2=x",
        "a=PHPSESSID",
        "a=b=PHPSESSID=c",
        "a=\"quoted; b\"",
        "",
        ";",
    ] {
        assert_eq!(stripped(other).as_deref(), Some(other));
    }
}

#[test]
fn only_exact_names_are_kept_and_swallowed() {
    let names = names(&["PHPSESSID"]);
    for own in ["PHPSESSID=a", " PHPSESSID =a; Path=/", "=PHPSESSID=a", "PHPSESSID=", "PHPSESSID; Path=/"] {
        assert!(names.are_set_by(own.as_bytes()), "{own}");
    }
    for other in ["phpsessid=a", "PHPSESSID2=a", "theme=PHPSESSID=a", "", "=", "a=1; PHPSESSID=b"] {
        assert!(!names.are_set_by(other.as_bytes()), "{other}");
        assert!(names.change([other.as_bytes()], NOW).is_empty(), "{other}");
    }
}

#[test]
fn a_jar_follows_what_is_set_and_forgets_what_is_over() {
    let first = jar(&["PHPSESSID=a; Path=/; HttpOnly", "theme=dark", "my_session= b=c ;Secure"]);
    assert_eq!(cookie(&first).as_deref(), Some("PHPSESSID=a; my_session=b=c"));
    let after = |lines: &[&str]| cookie(&first.after(&change(lines)));
    assert_eq!(after(&["PHPSESSID=z"]).as_deref(), Some("PHPSESSID=z; my_session=b=c"));
    assert_eq!(after(&["PHPSESSID=y", "PHPSESSID=z"]).as_deref(), Some("PHPSESSID=z; my_session=b=c"));
    for over in [
        "PHPSESSID=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0; path=/",
        "PHPSESSID=; Max-Age=0",
        "PHPSESSID=; Max-Age=-1",
        "PHPSESSID=; MAX-AGE=00",
        "PHPSESSID=; Expires=Tue, 14 Nov 2023 22:13:20 GMT",
        "PHPSESSID=x; Max-Age=5; Max-Age=0",
    ] {
        assert_eq!(after(&[over]).as_deref(), Some("my_session=b=c"), "{over}");
    }
    for kept in [
        "PHPSESSID=z; Max-Age=1",
        "PHPSESSID=z; Expires=Tue, 14 Nov 2023 22:13:21 GMT",
        "PHPSESSID=z; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "PHPSESSID=z; Max-Age=soon",
        "PHPSESSID=z; Expires=never",
        "PHPSESSID=z; Max-Age",
        "PHPSESSID=z; xMax-Age=0",
    ] {
        assert_eq!(after(&[kept]).as_deref(), Some("PHPSESSID=z; my_session=b=c"), "{kept}");
    }
    assert_eq!(after(&["PHPSESSID=; Max-Age=0", "my_session=; Max-Age=0"]), None);
    assert_eq!(after(&["PHPSESSID="]).as_deref(), Some("PHPSESSID=; my_session=b=c"));
}

#[test]
fn the_kept_cookies_come_before_the_clients_own() {
    let jar = jar(&["PHPSESSID=a"]);
    let others = [Cow::Borrowed(&b"b=2; c=3"[..]), Cow::Borrowed(&b""[..]), Cow::Borrowed(&b"d=4"[..])];
    assert_eq!(jar.cookie(others).unwrap(), b"PHPSESSID=a; b=2; c=3; d=4");
    assert_eq!(Jar::default().cookie([]), None);
    assert_eq!(jar.size(), "PHPSESSID=a".len());
    assert_eq!(Jar::default().size(), 0);
}

#[test]
fn neither_a_jar_nor_a_change_shows_a_value() {
    let (change, jar) = (change(&["PHPSESSID=secret"]), jar(&["PHPSESSID=secret"]));
    assert_eq!((format!("{change:?}"), format!("{jar:?}")), ("[\"PHPSESSID\"]".into(), "[\"PHPSESSID\"]".into()));
}

#[test]
fn a_name_that_no_server_reads_is_no_name() {
    for name in ["", "a b", "a=b", "a;b", "ä", "a\"b", &"a".repeat(256)] {
        assert_eq!(CookieNames::new(vec![name.to_owned()]), None, "{name}");
    }
}

#[test]
fn what_is_not_a_jar_is_not_read_as_one() {
    let bytes = jar(&["PHPSESSID=abc"]).encode().unwrap();
    for bad in
        [&[][..], &[2], &bytes[..bytes.len() - 1], &[&bytes[..], &bytes[1..]].concat(), &[&bytes[..], &[0]].concat()]
    {
        assert_eq!(Jar::decode(bad), None, "{bad:?}");
    }
}

proptest! {
    #[test]
    fn a_jar_survives_its_bytes(lines in prop::collection::vec("(PHPSESSID|my_session)=[ -~]{0,40}", 0..4)) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let jar = jar(&lines);
        prop_assert_eq!(Jar::decode(&jar.encode().unwrap()), Some(jar.clone()));
        prop_assert_eq!(jar.cookie([]).map_or(0, |cookie| cookie.len()), jar.size());
    }

    #[test]
    fn changes_can_be_taken_together(
        first in prop::collection::vec("(PHPSESSID|my_session)=[a-z]{0,3}(; Max-Age=0)?", 0..4),
        second in prop::collection::vec("(PHPSESSID|my_session)=[a-z]{0,3}(; Max-Age=0)?", 0..4),
    ) {
        let [first, second] = [first, second].map(|lines| change(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
        let start = jar(&["PHPSESSID=start"]);
        let (apart, together) = (start.after(&first).after(&second), start.after(&first.then(second)));
        let sorted = |jar: &Jar| {
            let mut cookies = jar.0.clone();
            cookies.sort();
            cookies
        };
        prop_assert_eq!(sorted(&apart), sorted(&together));
    }

    /// However the client writes it, no server finds one of the names in what is left, by any of the customary rules.
    #[test]
    fn nothing_is_left_that_a_server_could_take_for_a_kept_cookie(value in "([;,= \"$]|PHPSESSID|phpsessid|a|%50HPSESSID|\\[1\\]){0,12}") {
        let Some(left) = stripped(&value) else { return Ok(()) };
        for piece in left.split([';', ',', ' ']) {
            let name = piece.trim_start_matches('=').split('=').next().unwrap_or_default();
            let name = name.trim_matches('"').replace("%50", "P").to_lowercase();
            prop_assert_ne!(name.split('[').next().unwrap_or_default(), "phpsessid", "{}", left);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
        let names = names(&["PHPSESSID"]);
        let _ = (names.strip(&value), names.are_set_by(&value), names.change([&value[..]], NOW), Jar::decode(&value));
        let _ = cookie_date::cookie_date(&value);
    }
}

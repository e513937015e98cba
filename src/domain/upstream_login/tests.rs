use http::HeaderValue;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn statuses(texts: &[&str]) -> Vec<StatusRange> {
    texts.iter().map(|text| StatusRange::parse(text).unwrap()).collect()
}

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

fn rules() -> LoginRules {
    LoginRules {
        success: Success {
            sign: AnswerSign {
                statuses: statuses(&["200", "302"]),
                location: None,
                location_not: LocationPattern::parse("/login*"),
            },
            sets_cookie: CookieNames::new(vec!["SID".into()]),
            members: Members { present: vec![pointer("/user")], equal: vec![(pointer("/status"), json!("ok"))] },
        },
        refused: Refused {
            statuses: statuses(&["2xx"]),
            location: LocationPattern::parse("/denied"),
            members: Members { present: vec![pointer("/error")], equal: vec![(pointer("/status"), json!("fail"))] },
        },
        subject: SubjectSource::Json(pointer("/user")),
        claims: vec![
            ("roles".into(), pointer("/roles")),
            ("scope".into(), pointer("/scope")),
            ("x".into(), pointer("/x")),
        ],
    }
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

fn judge(rules: &LoginRules, status: u16, lines: &[(&'static str, &str)], body: &Value) -> Verdict {
    let (headers, body) = (headers(lines), body.to_string());
    let status = StatusCode::from_u16(status).unwrap();
    rules.judge(Answer { status, headers: &headers, body: body.as_bytes() }, Timestamp::default())
}

fn good() -> Value {
    json!({ "status": "ok", "user": "ann" })
}

const SID: (&str, &str) = ("set-cookie", "SID=1; Path=/");

#[test]
fn every_sign_of_success_is_needed() {
    let rules = rules();
    let verdict = |status, lines: &[(&'static str, &str)], body: &Value| judge(&rules, status, lines, body);
    assert_eq!(verdict(200, &[SID], &good()), Verdict::Success);
    assert_eq!(verdict(302, &[SID, ("location", "/home")], &good()), Verdict::Success);
    assert_eq!(verdict(204, &[SID], &good()), Verdict::Unclear(Doubt::Status(204)));
    assert_eq!(verdict(200, &[], &good()), Verdict::Unclear(Doubt::NoSign("the cookie")));
    assert_eq!(verdict(200, &[("set-cookie", "SID=; Path=/")], &good()), Verdict::Unclear(Doubt::NoSign("the cookie")));
    let over = ("set-cookie", "SID=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(verdict(200, &[SID, over], &good()), Verdict::Unclear(Doubt::NoSign("the cookie")));
    assert_eq!(
        verdict(200, &[SID], &json!({ "user": "ann" })),
        Verdict::Unclear(Doubt::NoSign("a member of a JSON object"))
    );
    for nothing in [json!(null), json!(false), json!(0), json!(0.0), json!(""), json!("  "), json!([]), json!({})] {
        let body = json!({ "status": "ok", "user": nothing });
        assert_eq!(verdict(200, &[SID], &body), Verdict::Unclear(Doubt::NoSign("a member of a JSON object")), "{body}");
    }
    let coded = verdict(200, &[SID, ("content-encoding", "br")], &good());
    assert_eq!(coded, Verdict::Unclear(Doubt::NoSign("a member of a JSON object")));
    assert_eq!(verdict(200, &[SID, ("content-encoding", "Identity")], &good()), Verdict::Success);
}

#[test]
fn one_sign_of_refusal_is_enough() {
    let rules = rules();
    let verdict = |status, lines: &[(&'static str, &str)], body: &Value| judge(&rules, status, lines, body);
    for status in [400, 401, 403, 404, 422] {
        assert_eq!(verdict(status, &[SID], &good()), Verdict::Refused, "{status}");
    }
    assert_eq!(verdict(200, &[SID], &json!({ "status": "ok", "user": "ann", "error": "no" })), Verdict::Refused);
    assert_eq!(verdict(200, &[SID], &json!({ "status": "fail" })), Verdict::Refused);
    assert_eq!(verdict(200, &[SID, ("location", "/denied")], &good()), Verdict::Refused);
    assert_eq!(verdict(302, &[SID, ("location", "/login?failed")], &good()), Verdict::Refused, "sent back");
    assert_eq!(verdict(302, &[SID, ("location", "/denied")], &good()), Verdict::Success, "only with a listed status");
    assert_eq!(verdict(200, &[SID], &json!({ "status": "ok", "user": "ann", "error": false })), Verdict::Success);
    let mut bare = rules.clone();
    bare.refused = Refused { statuses: statuses(&["204"]), ..Refused::default() };
    assert_eq!(judge(&bare, 204, &[], &json!({})), Verdict::Refused);
    assert_eq!(judge(&bare, 200, &[SID], &good()), Verdict::Success);
    bare.refused = Refused::default();
    assert_eq!(
        judge(&bare, 204, &[], &json!({})),
        Verdict::Unclear(Doubt::Status(204)),
        "nothing configured refuses nothing"
    );
}

#[test]
fn trouble_is_never_a_wrong_password() {
    let rules = rules();
    let limited = |line: &str| judge(&rules, 429, &[("retry-after", line)], &good());
    assert_eq!(limited("17"), Verdict::Limited(Some(Duration::from_secs(17))));
    assert_eq!(limited("99999999"), Verdict::Limited(Some(Duration::from_hours(1))));
    for none in ["-1", "1.5", "Wed, 21 Oct 2015 07:28:00 GMT", "", "99999999999999999999999"] {
        assert_eq!(limited(none), Verdict::Limited(None), "{none}");
    }
    for status in [408, 500, 502, 503, 504, 599] {
        let code = StatusCode::from_u16(status).unwrap();
        let said = json!({ "status": "fail", "error": true });
        assert_eq!(judge(&rules, status, &[("location", "/login")], &said), Verdict::Unavailable(code));
    }
}

fn person(body: &Value) -> Result<Person, Doubt> {
    let (headers, body) = (HeaderMap::new(), body.to_string());
    rules().person(Answer { status: StatusCode::OK, headers: &headers, body: body.as_bytes() }, "")
}

#[test]
fn claims_have_the_shape_that_tokens_need() {
    let claims = |body: Value| person(&body).map(|person| Value::Object(person.claims));
    let user = |roles: Value, scope: Value| claims(json!({ "user": "ann", "roles": roles, "scope": scope }));
    assert_eq!(user(json!(["a", 7]), json!("x y")), Ok(json!({ "roles": ["a", "7"], "scope": "x y" })));
    assert_eq!(user(json!("a"), json!(["x", "y"])), Ok(json!({ "roles": ["a"], "scope": "x y" })));
    assert_eq!(user(json!(null), json!(null)), Ok(json!({})));
    assert_eq!(user(json!({ "a": 1 }), json!(null)), Err(Doubt::BadClaim("roles".into())));
    assert_eq!(user(json!([["a"]]), json!(null)), Err(Doubt::BadClaim("roles".into())));
    assert_eq!(user(json!(["a\nb"]), json!(null)), Err(Doubt::BadClaim("roles".into())));
    assert_eq!(user(json!([]), json!(true)), Err(Doubt::BadClaim("scope".into())));
    assert_eq!(claims(json!({ "user": "ann", "x": { "y": [1.5] } })), Ok(json!({ "x": { "y": [1.5] } })));
    assert_eq!(claims(json!({ "user": "ann", "x": "x".repeat(5000) })), Err(Doubt::LongClaims));
}

#[test]
fn a_pointer_has_a_slash_before_each_step() {
    for good in ["/", "/a", "/a/0", "/a~1b/~0", "/ü"] {
        assert!(Pointer::parse(good).is_some(), "{good}");
    }
    for bad in ["", "a", "a/b", "/a~", "/a~2", "/~/~", "/a\n"] {
        assert_eq!(Pointer::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn a_template_stands_for_fields_and_knows_its_braces() {
    let fill = |template: &str| {
        let body = BodyTemplate::Form(vec![("f".into(), Template::parse(template).unwrap())]);
        let body = body.fill(|blank| match blank {
            Blank::Submitted("a") => Some("1&{b}"),
            Blank::Page("a[x]:y") => Some("<2>"),
            _ => None,
        });
        String::from_utf8(body.bytes.to_vec()).unwrap()
    };
    assert_eq!(fill("{a}"), "f=1%26%7Bb%7D");
    assert_eq!(fill("x{a}y{{z}}"), "f=x1%26%7Bb%7Dy%7Bz%7D");
    assert_eq!(fill("{a}{b}"), "", "what was not submitted is left out");
    assert_eq!(fill("{page:a[x]:y}-{a}"), "f=%3C2%3E-1%26%7Bb%7D");
    assert_eq!(fill("{page:a}"), "", "a field of the page is another than a submitted one");
    assert_eq!(fill(""), "f=");
    for (bad, fault) in [
        ("{", TemplateFault::Brace),
        ("}", TemplateFault::Brace),
        ("{a}}", TemplateFault::Brace),
        ("{a", TemplateFault::Brace),
        ("{}", TemplateFault::Name),
        ("{a b}", TemplateFault::Name),
        ("{a{b}", TemplateFault::Name),
        ("{paper:a}", TemplateFault::Name),
        ("{page:}", TemplateFault::PageName),
        ("{page:a b}", TemplateFault::PageName),
        ("{page:{a}", TemplateFault::PageName),
    ] {
        assert_eq!(Template::parse(bad), Err(fault), "{bad}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(Value::from),
        Just(json!(null)),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::Array))
}

proptest! {
    /// A success without each of its signs, or a subject that is no subject, is impossible, whatever the answer.
    #[test]
    fn nobody_is_let_in_without_status_signs_and_subject(
        status in 200_u16..600,
        user in any_json(),
        cookie in prop_oneof![Just("SID=1"), Just("SID="), Just("X=1")],
        place in prop_oneof![Just("/home"), Just("/login"), Just("/denied")],
        noise in prop::option::of("[{}\\[\\],:\" a-z0-9]{0,20}"),
    ) {
        let body = noise.unwrap_or_else(|| json!({ "status": "ok", "user": user }).to_string());
        let headers = headers(&[("set-cookie", cookie), ("location", place)]);
        let code = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status: code, headers: &headers, body: body.as_bytes() };
        if rules().judge(answer, Timestamp::default()) == Verdict::Success {
            prop_assert!(status == 200 || status == 302);
            prop_assert!(cookie == "SID=1" && place != "/login");
            prop_assert!(says_something(&user) && body.contains("\"ok\""));
        }
        if let Ok(person) = rules().person(answer, "") {
            let subject = person.subject.as_str();
            prop_assert!(!subject.is_empty() && subject == subject.trim() && subject.len() <= 255);
            prop_assert!(user == json!(subject) || user.as_u64().is_some_and(|number| number.to_string() == subject));
        }
    }

    /// What is submitted changes the value it stands for, and nothing else of the body.
    #[test]
    fn a_submitted_text_is_one_value_of_the_body(name in ".*", password in ".*") {
        let field = |blank: Blank<'_>| Some(if blank == Blank::Submitted("u") { name.as_str() } else { password.as_str() });
        let templates = || ["u", "p"].map(|field| (field.to_owned(), Template::of_field(field)));
        let form = BodyTemplate::Form(templates().to_vec()).fill(field);
        let read: Vec<(String, String)> =
            form_urlencoded::parse(&form.bytes).map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        prop_assert_eq!(read, [("u".to_owned(), name.clone()), ("p".to_owned(), password.clone())]);
        let members = templates().map(|(name, template)| (name, TemplateValue::Text(template)));
        let json = BodyTemplate::Json(members.to_vec()).fill(field);
        prop_assert_eq!(serde_json::from_slice::<Value>(&json.bytes).unwrap(), json!({ "u": name, "p": password }));
    }
}

//! `[login.upstream]` and the sections below it.

use super::{Kind, Section, Shape, key};

pub(super) const LOGIN_UPSTREAM: Section = Section {
    path: "login.upstream",
    shape: Shape::Table,
    doc: "For `provider = \"upstream\"`: the application's own login is asked. `docs/upstream-login.md` shows how to find \
          the values.",
    keys: &[
        key("upstream", Kind::Text("the name of an `[upstream.NAME]`"), r#""default""#, "Whose login it is."),
        key(
            "request",
            Kind::Text("`POST /PATH`, or with `PUT` or `PATCH`"),
            r#""""#,
            "What is asked; required. Nothing of the client's request goes with it but the fields below, its address and its \
             `User-Agent`.",
        ),
        key(
            "page",
            Kind::Text("`GET /PATH`, or `\"\"` = none"),
            r#""""#,
            "The page with the application's login form, if a login has to come from there. It is asked before each login, and \
             the cookies it sets go with the request; `{page:csrf_token}` in `form` or `json` stands for the value of the \
             page's `<input>` of this name or, without one, the content of its `<meta>`.",
        ),
        key("username", Kind::Text("a field's name"), r#""username""#, "The field of a login that holds the name."),
        key("password", Kind::Text("a field's name"), r#""password""#, "The field of a login that holds the password."),
        key(
            "form",
            Kind::Map("field of the form = a text with `{field}` in it"),
            "{}",
            "What is sent, as a form: `{field}` stands for that field of the login, and what was not submitted is left out. \
             Without `form` and `json`: name and password, under the names they have here.",
        ),
        key(
            "json",
            Kind::Map("member = a text with `{field}` in it, a number, true, false, a list or a table"),
            "{}",
            "What is sent, as JSON. What comes from a field is always a text.",
        ),
        key(
            "answer",
            Kind::Word(&["tokens", "upstream"]),
            r#""tokens""#,
            "`tokens`: the client gets tokens, or cookies, and nothing of the application's answer. `upstream`: it gets what the \
             application said to a success or a refusal, and our cookies; needs `cookie.mode`.",
        ),
    ],
};

pub(super) const SUCCESS: Section = Section {
    path: "login.upstream.success",
    shape: Shape::Table,
    doc: "What an answer is like that lets somebody in: all of it, and one sign at least besides the status. An answer that is \
          neither this nor a refusal is an error of the configuration: the client gets 502, and the log says why.",
    keys: &[
        key("status", Kind::List(STATUS), "[200]", "The status is one of these."),
        key("location", Kind::Text(PLACE), r#""""#, "It sends the client there."),
        key(
            "location_not",
            Kind::Text(PLACE),
            r#""""#,
            "It does not send the client there; one that does is a wrong name or password. By itself no sign of success.",
        ),
        key(
            "sets_cookie",
            Kind::Text("a cookie's name, or `\"\"` = none"),
            r#""""#,
            "It sets this cookie, to a value.",
        ),
        key(
            "member",
            Kind::TextOrList("a JSON pointer, such as `/user/id`"),
            "[]",
            "What stands there says something: neither `null`, `false`, `0`, nor empty.",
        ),
        key("equals", Kind::Map(EQUALS), "{}", "What stands there is exactly this."),
    ],
};

pub(super) const REFUSED: Section = Section {
    path: "login.upstream.refused",
    shape: Shape::Table,
    doc: "What an answer is like that says \"wrong name or password\", besides every 4xx (but 408 and 429): any of these signs.",
    keys: &[
        key(
            "status",
            Kind::List(STATUS),
            "[]",
            "The other signs count with these only; `[]`: with any. Without other signs the status is the sign.",
        ),
        key("location", Kind::Text(PLACE), r#""""#, "It sends the client there."),
        key(
            "member",
            Kind::TextOrList("a JSON pointer, such as `/error`"),
            "[]",
            "What stands there says something: neither `null`, `false`, `0`, nor empty.",
        ),
        key("equals", Kind::Map(EQUALS), "{}", "What stands there is exactly this."),
    ],
};

pub(super) const SUBJECT: Section = Section {
    path: "login.upstream.subject",
    shape: Shape::Table,
    doc: "Who it is: exactly one of `json`, `header` and `form`. It must not be empty, nor have space around it.",
    keys: &[
        key(
            "json",
            Kind::Text("a JSON pointer, such as `/user/id`, or `\"\"` = none"),
            r#""""#,
            "There, in the answer: a text, or a whole number above 0.",
        ),
        key("header", Kind::Text("a header's name, or `\"\"` = none"), r#""""#, "In this header of the answer."),
        key(
            "form",
            Kind::Text("the value of `login.upstream.username`, or `\"\"` = none"),
            r#""""#,
            "It is the name that was submitted. If the application lets `Ann` in as `ann`, these are two subjects: better use \
             what the application calls its user.",
        ),
        key(
            "probe",
            Kind::Text("`GET /PATH`, or `\"\"` = none"),
            r#""""#,
            "After a success this is asked too, with the cookies that the login set, and `json`, `header` and the claims are \
             about its answer.",
        ),
    ],
};

pub(super) const CLAIMS: Section = Section {
    path: "login.upstream.claims",
    shape: Shape::Free,
    doc: "What else the answer says about the person: claims of their access tokens. What is not there is left out.",
    keys: &[key(
        "CLAIM",
        Kind::Text("a JSON pointer, such as `/user/roles`"),
        "",
        "`roles` becomes a list of texts, `scope` a text with spaces between; any other is as it came. Claims that sidegate \
         sets itself (`sub`, `exp`, …) cannot be named.",
    )],
};

const STATUS: &str = "a status: `302`, or a class of them: `\"2xx\"`";
const PLACE: &str = "a path such as `/login.php`, with a last `*` all that begins so, or `\"\"` = any";
const EQUALS: &str = "JSON pointer = a text, a whole number, true or false";

//! `[vault]`: the session that the application keeps for itself.

use super::{Kind, Section, Shape, key};

pub(super) const VAULT: Section = Section {
    path: "vault",
    shape: Shape::Table,
    doc: "Cookies that the API sets at its own login and wants to see again. They are kept, sealed, in the session, sent \
          with each of its requests to that upstream, and never reach a client.",
    keys: &[
        key(
            "cookies",
            Kind::List("the name of a cookie"),
            "[]",
            "Which ones. Clients' cookies of these names, in any spelling, are removed on every route. `[]` = none is kept.",
        ),
        key(
            "size",
            Kind::Size { from: "64B", to: "6KiB" },
            r#""1536B""#,
            "Most bytes of their names and values together. They travel in the access token, which becomes almost twice \
             as long by them; beyond the default it does not fit into a cookie.",
        ),
    ],
};

pub(super) const LOST: Section = Section {
    path: "vault.lost",
    shape: Shape::Table,
    doc: "How the API answers when it has forgotten its session: all that is written must hold. The client then gets a \
          401 in its place, and refreshes; where nothing newer is known, the session has ended.",
    keys: &[
        key("status", Kind::List("a status, such as 302"), "[]", "One of these; `[]` = no answer is looked at."),
        key(
            "location",
            Kind::Text("a place, or its beginning and `*`"),
            r#""""#,
            "Where the answer sends the client: `/login.php*`. `\"\"` = wherever.",
        ),
    ],
};

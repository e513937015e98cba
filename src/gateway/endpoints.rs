//! Our own endpoints: an `http` request in, an answer out. Nothing here knows what server they run in.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::authority::{Authority, Login, LoginRequest, RefreshRequest, Submitted, TokenPair};
use crate::clock::Stopwatch;
use crate::config::checked::Endpoints;
use crate::domain::decision::{Credential, FieldFault, Refusal};
use crate::domain::refresh_token::IdempotencyKey;
use crate::domain::session::{Origin, SessionId};
use crate::domain::strict_json;
use crate::domain::user::Password;

use super::account;
use super::admit;
use super::answer::{self, Answer, BadRequest};
use super::by_cookie;
use super::cookies::Cookies;
use super::passed_on::passed_on;

/// Where the verifying keys are published (RFC 7517 §5).
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// One of our endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Login,
    Refresh,
    Logout,
    LogoutAll,
    Me,
    Password,
    Sessions,
    /// One session; `None` where the path names none.
    Session(Option<SessionId>),
    Keys,
}

impl Endpoint {
    /// Which endpoint a canonical path is, if any. A trailing slash is another path.
    #[must_use]
    pub fn of(path: &str, endpoints: &Endpoints) -> Option<Self> {
        let is = |configured: &Option<String>| configured.as_deref() == Some(path);
        if is(&endpoints.login) {
            Some(Self::Login)
        } else if is(&endpoints.refresh) {
            Some(Self::Refresh)
        } else if is(&endpoints.logout) {
            Some(Self::Logout)
        } else if is(&endpoints.logout_all) {
            Some(Self::LogoutAll)
        } else if is(&endpoints.me) {
            Some(Self::Me)
        } else if is(&endpoints.password) {
            Some(Self::Password)
        } else if is(&endpoints.sessions) {
            Some(Self::Sessions)
        } else if path == JWKS_PATH {
            Some(Self::Keys)
        } else {
            let below = path.strip_prefix(endpoints.sessions.as_deref()?)?.strip_prefix('/')?;
            Some(Self::Session(SessionId::parse(below)))
        }
    }

    /// A short word for logs and metric labels.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Refresh => "refresh",
            Self::Logout => "logout",
            Self::LogoutAll => "logout_all",
            Self::Me => "me",
            Self::Password => "password",
            Self::Sessions | Self::Session(_) => "sessions",
            Self::Keys => "keys",
        }
    }
}

/// A request to one of our endpoints, its body read. No `Debug`: it holds whatever secrets came.
pub struct EndpointRequest {
    pub method: Method,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub from: Origin,
    pub arrived: Stopwatch,
    /// What its `Authorization` field or its cookies prove.
    pub credential: Credential,
    /// `None`: tokens travel in bodies only.
    pub cookies: Option<Arc<Cookies>>,
}

impl EndpointRequest {
    /// The answer that gives a pair.
    pub(super) fn give(&self, pair: &TokenPair, authority: &Authority) -> Answer {
        match &self.cookies {
            Some(cookies) => cookies.deliver(pair, authority),
            None => answer::token_pair(pair),
        }
    }

    /// The answer after which a browser that sent our cookies has none any more.
    pub(super) fn forget(&self, mut answer: Answer) -> Answer {
        if let Some(cookies) = &self.cookies
            && cookies.read(&self.headers).is_ok_and(|presented| !presented.is_empty())
        {
            cookies.cleared().write(answer.headers_mut());
        }
        answer
    }
}

/// Answers a request. To be run to its end even if the client has gone: a rotation must not stop half-way.
pub async fn answer(authority: Arc<Authority>, endpoint: Endpoint, request: EndpointRequest) -> Answer {
    let (shared, request) = (&authority, &request);
    let authority = shared.as_ref();
    let answered = match (endpoint, &request.cookies) {
        (Endpoint::Refresh, Some(cookies)) => by_cookie::refresh(shared, request, cookies).await,
        (Endpoint::Logout, Some(cookies)) => by_cookie::logout(authority, request, cookies).await,
        (Endpoint::Keys, _) => Ok(keys(authority, &request.method)),
        (Endpoint::Login, _) => Ok(login(authority, request).await.unwrap_or_else(answer::bad_request)),
        (Endpoint::Refresh, _) => Ok(refresh(authority, request).await.unwrap_or_else(answer::bad_request)),
        (Endpoint::Logout, _) => {
            logout(authority, request).await.unwrap_or_else(|fault| Ok(answer::bad_request(fault)))
        }
        (Endpoint::LogoutAll, _) => account::logout_all(authority, request).await,
        (Endpoint::Me, _) => account::me(request),
        (Endpoint::Password, _) => account::password(authority, request).await,
        (Endpoint::Sessions, _) => account::sessions(authority, request).await,
        (Endpoint::Session(id), _) => account::session(authority, request, id).await,
    };
    answered.unwrap_or_else(|refusal| {
        let refusal = authority.slowed_down(refusal, request.from.address);
        answer::refusal(&refusal, authority.realm()).answer
    })
}

fn keys(authority: &Authority, method: &Method) -> Answer {
    if method != Method::GET && method != Method::HEAD {
        return answer::refusal(&Refusal::Method(vec!["GET".into(), "HEAD".into()]), authority.realm()).answer;
    }
    answer::public_document(&json!({ "keys": authority.published_keys() }))
}

async fn login(authority: &Authority, request: &EndpointRequest) -> Result<Answer, BadRequest> {
    let fields = Fields::read(request)?;
    fields.grant_type("password")?;
    if fields.client(request, authority.client_id())?.is_some_and(|client| client != authority.client_id()) {
        return Err(BadRequest::Client { basic: false });
    }
    let (name, password) = authority.login_fields();
    refuse_in_query(request.query.as_deref(), &[password])?;
    let name = fields.get(name).ok_or(BadRequest::Malformed("username is missing"))?.to_owned();
    let password = fields.password(password).ok_or(BadRequest::Malformed("password is missing, or too long"))?;
    let login = LoginRequest {
        name,
        password,
        submitted: Submitted(fields.0),
        from: request.from.clone(),
        user_agent: request.headers.get(header::USER_AGENT).cloned(),
    };
    let Login { outcome, answer } = authority.login(login).await;
    let pair = outcome.as_ref().ok();
    let given = match (answer, &request.cookies, &outcome) {
        (Some(answer), Some(cookies), _) => passed_on(answer, pair, cookies, authority),
        (_, _, Ok(pair)) => request.give(pair, authority),
        (_, _, Err(error)) => answer::login_error(error),
    };
    if let (Some(pair), Some(cookies)) = (pair, &request.cookies) {
        by_cookie::settle_login(authority, request, cookies, pair, &given).await;
    }
    Ok(given)
}

async fn refresh(authority: &Authority, request: &EndpointRequest) -> Result<Answer, BadRequest> {
    let fields = Fields::read(request)?;
    fields.grant_type("refresh_token")?;
    let client_id = fields.client(request, authority.client_id())?;
    let token = fields.get("refresh_token").ok_or(BadRequest::Malformed("refresh_token is missing"))?;
    let refresh = RefreshRequest {
        token: Zeroizing::new(token.to_owned()),
        client_id,
        key: idempotency_key(&request.headers)?,
        in_cookie: false,
        scope: fields.get("scope").map(str::to_owned),
        from: request.from.clone(),
        arrived: request.arrived,
    };
    Ok(match authority.refresh(&refresh).await {
        Ok(pair) => answer::token_pair(&pair),
        Err(error) => answer::refresh_error(&error),
    })
}

/// Ends the session of the token in the body (`refresh_token`, or `token` as in RFC 7009 §2.1) or, if that is none of
/// ours, of the access token in the `Authorization` field. A body without a token of ours is no error by itself (§2.2).
pub(super) async fn logout(
    authority: &Authority,
    request: &EndpointRequest,
) -> Result<Result<Answer, Refusal>, BadRequest> {
    let fields = Fields::read(request)?;
    let in_body = fields.get("refresh_token").or_else(|| fields.get("token"));
    let in_field = match (in_body, admit::bearer(&request.headers, usize::MAX)) {
        (_, Ok(token)) => token,
        (Some(_), Err(_)) | (None, Err(FieldFault::OtherScheme)) => None,
        (None, Err(_)) => return Err(BadRequest::Malformed("the Authorization field is malformed")),
    };
    if in_body.is_none() && in_field.is_none() {
        return Err(BadRequest::Malformed("refresh_token is missing"));
    }
    for token in [in_body, in_field].into_iter().flatten() {
        match authority.logout(token, &request.from).await {
            Ok(true) => return Ok(Ok(answer::done())),
            Ok(false) => {}
            Err(error) => return Ok(Ok(answer::logout_error(&error))),
        }
    }
    // Who says so with a credential must not believe that something has ended.
    match (&request.credential, in_field) {
        (Credential::Bad(fault), Some(_)) => Ok(Err(Refusal::BadCredential(*fault))),
        _ => Ok(Ok(answer::done())),
    }
}

/// One header line of 16 to 255 visible characters, or none.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, BadRequest> {
    let mut lines = headers.get_all("idempotency-key").iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let key = line.to_str().ok().and_then(IdempotencyKey::parse);
    match (key, lines.next()) {
        (Some(key), None) => Ok(Some(key)),
        _ => Err(BadRequest::Malformed("Idempotency-Key must be one line of 16 to 255 visible characters")),
    }
}

/// The fields of a body, form or JSON. Unknown ones are ignored, an empty one is absent, a repeated one is an error
/// (RFC 6749 §3.2).
pub(super) struct Fields(Vec<(String, Zeroizing<String>)>);

impl Fields {
    pub(super) fn read(request: &EndpointRequest) -> Result<Self, BadRequest> {
        if request.method != Method::POST {
            return Err(BadRequest::Method);
        }
        refuse_in_query(request.query.as_deref(), &SECRETS)?;
        if request.body.is_empty() {
            return Ok(Self(Vec::new()));
        }
        if request.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(BadRequest::ContentType);
        }
        let mut types = request.headers.get_all(header::CONTENT_TYPE).iter();
        let media_type = types.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
        if types.next().is_some() {
            return Err(BadRequest::ContentType);
        }
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Self::from_form(&request.body)
        } else if essence.eq_ignore_ascii_case("application/json") {
            Self::from_json(&request.body)
        } else {
            Err(BadRequest::ContentType)
        }
    }

    fn from_form(body: &[u8]) -> Result<Self, BadRequest> {
        let text = std::str::from_utf8(body).map_err(|_| BadRequest::Malformed("the body is not UTF-8"))?;
        let mut fields: Vec<(String, Zeroizing<String>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(BadRequest::Malformed("a field is repeated"));
            }
            // What an escape that is not UTF-8 is read as: a page in Latin-1.
            if name.contains(char::REPLACEMENT_CHARACTER) || value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(BadRequest::Malformed("the body is not UTF-8"));
            }
            fields.push((name.into_owned(), Zeroizing::new(value.into_owned())));
        }
        Ok(Self(fields))
    }

    fn from_json(body: &[u8]) -> Result<Self, BadRequest> {
        let malformed = BadRequest::Malformed("the body must be one JSON object without repeated members");
        let members = strict_json::object(body).map_err(|_| malformed)?;
        let mut fields = Vec::new();
        for (name, value) in members {
            let known = matches!(
                name.as_str(),
                "username"
                    | "password"
                    | "new_password"
                    | "refresh_token"
                    | "token"
                    | "grant_type"
                    | "client_id"
                    | "client_secret"
                    | "scope"
            );
            match value {
                Value::String(text) => fields.push((name, Zeroizing::new(text))),
                Value::Null => {}
                // `"remember": true` is what a form says with a text.
                Value::Bool(_) | Value::Number(_) if !known => fields.push((name, Zeroizing::new(value.to_string()))),
                _ if known => return Err(BadRequest::Malformed("a field must be a string")),
                _ => {}
            }
        }
        Ok(Self(fields))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A password that is short enough to be one.
    pub(super) fn password(&self, name: &str) -> Option<Password> {
        let password = self.get(name).filter(|password| password.len() <= Password::MAX_BYTES)?;
        Some(Password::new(password.to_owned()))
    }

    pub(super) fn grant_type(&self, expected: &str) -> Result<(), BadRequest> {
        if self.get("grant_type").is_none_or(|grant| grant == expected) { Ok(()) } else { Err(BadRequest::GrantType) }
    }

    /// The client that named itself. Ours is a public client (RFC 6749 §2.1): it has a name and no secret.
    pub(super) fn client(&self, request: &EndpointRequest, client_id: &str) -> Result<Option<String>, BadRequest> {
        let in_body = self.get("client_id");
        let has_secret_in_body = self.get("client_secret").is_some();
        let Some((name, secret)) = basic_credentials(&request.headers)? else {
            return if has_secret_in_body {
                Err(BadRequest::Client { basic: false })
            } else {
                Ok(in_body.map(str::to_owned))
            };
        };
        if has_secret_in_body {
            return Err(BadRequest::Malformed("the client proves itself in more than one way"));
        }
        if in_body.is_some_and(|in_body| in_body != name) {
            return Err(BadRequest::Malformed("two different clients are named"));
        }
        if name != client_id || !secret.is_empty() {
            return Err(BadRequest::Client { basic: true });
        }
        Ok(Some(name))
    }
}

/// RFC 6749 §2.3.1: Basic, with both parts form-encoded before base64.
fn basic_credentials(headers: &HeaderMap) -> Result<Option<(String, Zeroizing<String>)>, BadRequest> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let malformed = BadRequest::Malformed("the Authorization field is malformed");
    if lines.next().is_some() {
        return Err(malformed);
    }
    let value = line.to_str().map_err(|_| malformed)?;
    let Some((scheme, encoded)) = value.split_once(' ') else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).map_err(|_| malformed)?);
    let text = std::str::from_utf8(&decoded).map_err(|_| malformed)?;
    let (name, secret) = text.split_once(':').ok_or(malformed)?;
    Ok(Some((form_decode(name), Zeroizing::new(form_decode(secret)))))
}

fn form_decode(text: &str) -> String {
    let pair = format!("x={text}");
    form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Queries end up in logs and histories: a secret there is refused, not used (RFC 9700 §4.3.2).
fn refuse_in_query(query: Option<&str>, secrets: &[&str]) -> Result<(), BadRequest> {
    let query = query.unwrap_or_default();
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| secrets.contains(&name.as_ref())) {
        return Err(BadRequest::Malformed("secrets are not read from the query"));
    }
    Ok(())
}

const SECRETS: [&str; 5] = ["refresh_token", "access_token", "token", "password", "client_secret"];

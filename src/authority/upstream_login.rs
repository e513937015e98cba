//! The application's own login: asked over HTTP/1.1, on a connection of its own, and judged.
//!
//! What goes there is what the operator wrote, filled in with what the client submitted and what the application's own page
//! holds, and who asks: address and user agent. No redirect is followed, no cookie outlives the login, nothing is sent twice.
//! Who finds no slot in time is told to come back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use reqwest::Url;
use reqwest::redirect::Policy;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::checked::{self, Config, LoginAnswer};
use crate::domain::rate::Bucket;
use crate::domain::session::Subject;
use crate::domain::target::Target;
use crate::domain::time::Timestamp;
use crate::domain::upstream_login::{Answer, Blank, Doubt, LoginRules, PageValues, Person, RequestBody, Verdict};
use crate::domain::vault::{CookieNames, Jar};

use super::login::{LoginError, LoginRequest};

/// How the application is asked.
pub struct UpstreamLogin {
    client: reqwest::Client,
    asked: checked::UpstreamLogin,
    page: Option<Page>,
    login: Url,
    probe: Option<Url>,
    /// Written on each request.
    headers: HeaderMap,
    /// For page, login and probe together.
    deadline: Duration,
    slots: Arc<Semaphore>,
    /// Whose name was right lately: what is told apart there is a stranger's attempts from the owner's. Forgetting is harmless.
    known: Cache<Bucket, Subject>,
}

/// The page that the login comes from.
struct Page {
    url: Url,
    /// What a browser says of where a form was: applications compare that, too.
    sent_from: HeaderMap,
}

/// Why the application cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its upstream, or server.public_url, cannot be written into a request")]
pub struct UpstreamLoginError;

/// Logins under way at once: so many the application has to answer, and their answers have room.
const SLOTS: usize = 32;
/// How long a login waits for a slot.
const SLOT_WAIT: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const MOST_BYTES: usize = 1024 * 1024;
/// Longest `Cookie` field that is sent: what servers take in one line.
const MOST_COOKIES: usize = 8 * 1024;
/// Names of which one takes some 400 bytes.
const MOST_KNOWN: u64 = 10_000;
/// For an application that does not say how long.
const WAIT: Duration = Duration::from_secs(30);

/// An answer to a login, read to its end. Its `Debug` hides what it says.
#[derive(Clone)]
pub struct UpstreamAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether it lets somebody in, or refuses.
    let_in: bool,
}

impl fmt::Debug for UpstreamAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamAnswer({})", self.status)
    }
}

/// Why there is none.
enum NoAnswer {
    Transport(reqwest::Error),
    Doubt(Doubt),
}

impl From<reqwest::Error> for NoAnswer {
    fn from(error: reqwest::Error) -> Self {
        // A fixed query may hold a key.
        Self::Transport(error.without_url())
    }
}

impl UpstreamLogin {
    /// # Errors
    /// [`UpstreamLoginError`].
    pub fn new(asked: &checked::UpstreamLogin, config: &Config) -> Result<Self, UpstreamLoginError> {
        let upstream = config.upstreams.get(&asked.upstream).ok_or(UpstreamLoginError)?;
        let checked::Upstream { host, port, .. } = upstream;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let url = |target: &Target| {
            Url::parse(&format!("http://{host}:{port}{}", target.origin_form())).map_err(|_| UpstreamLoginError)
        };
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .http1_only()
            // A connection that is closed just then would lose a login that the application counts.
            .pool_max_idle_per_host(0)
            .connect_timeout(upstream.connect_timeout)
            .build()
            .map_err(|_| UpstreamLoginError)?;
        let public_host = HeaderValue::from_str(&asked.public_host).map_err(|_| UpstreamLoginError)?;
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, public_host.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/html;q=0.9, */*;q=0.8"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert("x-forwarded-host", public_host);
        headers.insert("x-forwarded-proto", HeaderValue::from_static(asked.public_scheme));
        let page = |page: &Target| {
            let origin = format!("{}://{}", asked.public_scheme, asked.public_host);
            let referer = format!("{origin}{}", page.origin_form());
            let line = |text: String| HeaderValue::try_from(text).map_err(|_| UpstreamLoginError);
            let sent_from = [(header::ORIGIN, line(origin)?), (header::REFERER, line(referer)?)];
            Ok(Page { url: url(page)?, sent_from: sent_from.into_iter().collect() })
        };
        Ok(Self {
            client,
            page: asked.page.as_ref().map(page).transpose()?,
            login: url(&asked.target)?,
            probe: asked.probe.as_ref().map(url).transpose()?,
            asked: asked.clone(),
            headers,
            deadline: upstream.response_timeout,
            slots: Arc::new(Semaphore::new(SLOTS)),
            known: Cache::builder().max_capacity(MOST_KNOWN).eviction_policy(EvictionPolicy::lru()).build(),
        })
    }

    /// The fields of a login that hold name and password.
    pub(super) fn fields(&self) -> (&str, &str) {
        (&self.asked.username, &self.asked.password)
    }

    pub(super) async fn slot(&self) -> Result<OwnedSemaphorePermit, LoginError> {
        let slot = tokio::time::timeout(SLOT_WAIT, Arc::clone(&self.slots).acquire_owned()).await;
        slot.map_err(|_| LoginError::Busy)?.map_err(|_| LoginError::Busy)
    }

    /// Attempts with this name, in the spellings that applications commonly take for one.
    pub(super) fn counted_name(name: &str) -> String {
        name.trim().to_lowercase()
    }

    /// Whose name it is, as far as that is known before anybody is asked.
    ///
    /// # Errors
    /// [`LoginError::Refused`] if it can be nobody's.
    pub(super) fn presumed(&self, name: &str) -> Result<Option<Subject>, LoginError> {
        match self.asked.rules.subject_of_name(name) {
            Some(Ok(subject)) => Ok(Some(subject)),
            Some(Err(_)) => Err(LoginError::Refused),
            None => Ok(self.known.get(&Bucket::login_as(&Self::counted_name(name)))),
        }
    }

    /// Remembers whose name it was.
    pub(super) fn remember(&self, name: &str, subject: &Subject) {
        self.known.insert(Bucket::login_as(&Self::counted_name(name)), subject.clone());
    }

    /// Asks the application: its page, its login, its probe; gives the `Set-Cookie` lines of all, too. `now` is for cookies
    /// that are over.
    ///
    /// # Errors
    /// [`LoginError::Refused`], [`LoginError::Limited`], [`LoginError::NoAnswer`] or [`LoginError::Unclear`].
    pub(super) async fn ask(
        &self,
        request: &LoginRequest,
        answer: &mut Option<UpstreamAnswer>,
        now: Timestamp,
    ) -> Result<(Person, Vec<HeaderValue>), LoginError> {
        let mut what = "login";
        let asking = tokio::time::timeout(self.deadline, self.try_to_ask(request, answer, now, &mut what)).await;
        asking.unwrap_or_else(|_| {
            tracing::warn!(deadline = ?self.deadline, what, "the application has not answered a login in time");
            Err(LoginError::NoAnswer)
        })
    }

    async fn try_to_ask(
        &self,
        request: &LoginRequest,
        kept: &mut Option<UpstreamAnswer>,
        now: Timestamp,
        what: &mut &'static str,
    ) -> Result<(Person, Vec<HeaderValue>), LoginError> {
        let headers = self.headers_for(request);
        let (mut values, mut set_cookies) = (PageValues::default(), Vec::new());
        if let Some(page) = &self.page {
            *what = "page";
            (values, set_cookies) = self.see(page, headers.clone(), now).await?;
        }
        *what = "login";
        let body = self.body(request, &values);
        let mut login = self.client.request(self.asked.method.clone(), self.login.clone()).headers(headers.clone());
        if let Some(page) = &self.page {
            login = login.headers(page.sent_from.clone()).headers(cookies(&set_cookies, now, what)?);
        }
        let login = login.header(header::CONTENT_TYPE, body.media_type).body(body.bytes.to_vec());
        let mut answer = receive(login).await.map_err(|error| not_answered(error, what))?;
        let verdict = self.asked.rules.judge(answer.as_answer(), now);
        answer.let_in = verdict == Verdict::Success;
        let answer = &*kept.insert(answer);
        understood(verdict, what)?;
        set_cookies.extend(answer.set_cookies());
        let person = match &self.probe {
            None => self.asked.rules.person(answer.as_answer(), &request.name),
            Some(probe) => {
                *what = "probe";
                let probe = self.client.get(probe.clone()).headers(headers).headers(cookies(&set_cookies, now, what)?);
                let answer = receive(probe).await.map_err(|error| not_answered(error, what))?;
                understood(LoginRules::judge_probe(answer.as_answer()), what)?;
                set_cookies.extend(answer.set_cookies());
                self.asked.rules.person(answer.as_answer(), &request.name)
            }
        };
        person.map(|person| (person, set_cookies)).map_err(|doubt| unclear(&doubt, what))
    }

    /// What the login takes from its page.
    async fn see(
        &self,
        page: &Page,
        headers: HeaderMap,
        now: Timestamp,
    ) -> Result<(PageValues, Vec<HeaderValue>), LoginError> {
        let what = "page";
        let answer = receive(self.client.get(page.url.clone()).headers(headers)).await;
        let answer = answer.map_err(|error| not_answered(error, what))?;
        understood(LoginRules::judge_page(answer.as_answer()), what)?;
        let names = self.asked.body.page_fields();
        let values = PageValues::read(answer.as_answer(), &names).map_err(|doubt| unclear(&doubt, what))?;
        let set_cookies = answer.set_cookies();
        if names.is_empty() && jar(&set_cookies, now).is_empty() {
            return Err(unclear(&Doubt::NoPageCookie, what));
        }
        Ok((values, set_cookies))
    }

    fn body(&self, request: &LoginRequest, page: &PageValues) -> RequestBody {
        let (username, password) = self.fields();
        self.asked.body.fill(|blank| match blank {
            Blank::Page(field) => page.value(field),
            Blank::Submitted(field) if field == username => Some(request.name.as_str()),
            Blank::Submitted(field) if field == password => Some(request.password.expose()),
            Blank::Submitted(field) => request.submitted.get(field),
        })
    }

    /// What the client gets of the application's answer, if it is a success or a refusal with this outcome.
    pub(super) fn passed_on(
        &self,
        answer: Option<UpstreamAnswer>,
        outcome: Result<(), &LoginError>,
    ) -> Option<UpstreamAnswer> {
        let fits = |answer: &UpstreamAnswer| match outcome {
            Ok(()) => answer.let_in,
            // Whom the application let in, and who is refused here all the same, must not see that.
            Err(LoginError::Refused) => !answer.let_in,
            Err(_) => false,
        };
        answer.filter(|answer| self.asked.answer == LoginAnswer::Upstream && fits(answer))
    }

    fn headers_for(&self, request: &LoginRequest) -> HeaderMap {
        let mut headers = self.headers.clone();
        let address = request.from.address.and_then(|address| HeaderValue::from_str(&address.to_string()).ok());
        headers.extend(address.map(|address| (http::HeaderName::from_static("x-forwarded-for"), address)));
        headers.extend(request.user_agent.iter().cloned().map(|agent| (header::USER_AGENT, agent)));
        headers
    }
}

impl UpstreamAnswer {
    fn as_answer(&self) -> Answer<'_> {
        Answer { status: self.status, headers: &self.headers, body: &self.body }
    }

    fn set_cookies(&self) -> Vec<HeaderValue> {
        self.headers.get_all(header::SET_COOKIE).iter().cloned().collect()
    }
}

/// Every cookie that these lines set, whatever path it is for: the application alone decides what it needs.
fn jar(set_cookies: &[HeaderValue], now: Timestamp) -> Jar {
    let lines = || set_cookies.iter().map(HeaderValue::as_bytes);
    let named = lines().filter_map(|line| {
        let name = std::str::from_utf8(line.split(|&byte| byte == b'=').next()?).ok()?.trim();
        CookieNames::new(vec![name.to_owned()])
    });
    named.fold(Jar::default(), |jar, name| jar.after(&name.change(lines(), now)))
}

/// The `Cookie` field for the request that follows, if there is something to say in it.
fn cookies(set_cookies: &[HeaderValue], now: Timestamp, what: &'static str) -> Result<HeaderMap, LoginError> {
    let jar = jar(set_cookies, now);
    if jar.size() > MOST_COOKIES {
        return Err(unclear(&Doubt::LongCookies(MOST_COOKIES), what));
    }
    let line = jar.cookie([]).and_then(|line| HeaderValue::from_bytes(&line).ok());
    Ok(line.map(|line| (header::COOKIE, line)).into_iter().collect())
}

async fn receive(request: reqwest::RequestBuilder) -> Result<UpstreamAnswer, NoAnswer> {
    let mut response = request.send().await?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MOST_BYTES {
            return Err(NoAnswer::Doubt(Doubt::TooLong(MOST_BYTES)));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(UpstreamAnswer { status, headers, body: body.into(), let_in: false })
}

fn not_answered(error: NoAnswer, what: &'static str) -> LoginError {
    match error {
        NoAnswer::Doubt(doubt) => unclear(&doubt, what),
        NoAnswer::Transport(error) => {
            tracing::warn!(error = causes(&error), what, "the application does not answer a login");
            LoginError::NoAnswer
        }
    }
}

fn understood(verdict: Verdict, what: &'static str) -> Result<(), LoginError> {
    match verdict {
        Verdict::Success => Ok(()),
        Verdict::Refused => Err(LoginError::Refused),
        Verdict::Limited(wait) => Err(LoginError::Limited(wait.unwrap_or(WAIT))),
        Verdict::Unavailable(status) => {
            tracing::warn!(status = status.as_u16(), what, "the application cannot answer a login");
            Err(LoginError::NoAnswer)
        }
        Verdict::Unclear(doubt) => Err(unclear(&doubt, what)),
    }
}

fn unclear(doubt: &Doubt, what: &'static str) -> LoginError {
    tracing::warn!(what, "nobody is logged in, since the application's answer is unclear: {doubt}");
    LoginError::Unclear
}

/// The words of an error and of what lies below it.
fn causes(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

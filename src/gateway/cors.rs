//! What pages of other origins are told: by every answer that leaves here, whoever made it, and before any token is asked for.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderValue, StatusCode, header};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::{HttpModule, HttpModuleBuilder, Module};

use crate::domain::cors::{ANSWERED, Cors, Preflight};

use super::Gateway;
use super::answer::{self, Answer};
use super::context::RequestContext;

/// Marks each answer of a connection's requests, on its way to the client.
pub(super) struct MarkAnswers(pub(super) Arc<Cors>);

impl HttpModuleBuilder for MarkAnswers {
    fn init(&self) -> Module {
        Box::new(Marking { cors: Arc::clone(&self.0), origin: None })
    }
}

/// Of one request.
struct Marking {
    cors: Arc<Cors>,
    /// Of the page that asks, if it is listed.
    origin: Option<HeaderValue>,
}

#[async_trait]
impl HttpModule for Marking {
    async fn request_header_filter(&mut self, request: &mut RequestHeader) -> Result<()> {
        self.origin = self.cors.listed(&request.headers).cloned();
        Ok(())
    }

    async fn response_header_filter(&mut self, response: &mut ResponseHeader, _: bool) -> Result<()> {
        // Nor does the protocol know an answered upgrade.
        if response.status.is_informational() {
            return Ok(());
        }
        if let Some(origin) = &self.origin {
            for name in &ANSWERED {
                response.remove_header(name);
            }
            for (name, value) in self.cors.fields(origin) {
                response.insert_header(name, value)?;
            }
        }
        // Also where nothing is said: whoever keeps the answer must not show it to a page that needs more.
        response.append_header(header::VARY, header::ORIGIN.as_str())?;
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl Gateway {
    /// The answer to a preflight, if the request is one; it goes no further.
    pub(super) fn preflight(&self, request: &RequestHeader, context: &mut RequestContext) -> Option<Answer> {
        Some(match self.cors.as_ref()?.preflight(&request.method, &request.headers)? {
            Preflight::Refused => {
                context.reason = "cors_origin";
                answer::problem(403, "pages of this origin may not call here")
            }
            Preflight::Allowed(fields) => {
                (context.decision, context.reason) = ("endpoint", "preflight");
                let mut answer = Answer::default();
                *answer.status_mut() = StatusCode::NO_CONTENT;
                answer.headers_mut().extend(fields);
                answer.headers_mut().insert(header::VARY, HeaderValue::from_static(ASKED));
                answer
            }
        })
    }
}

const ASKED: &str = "Access-Control-Request-Method, Access-Control-Request-Headers";

/// Marks an answer to a head that Pingora never saw.
pub(super) fn mark_refusal(cors: Option<&Cors>, head: &[u8], answer: &mut Answer) {
    let Some(cors) = cors else { return };
    if let Some(origin) = cors.listed_in(head) {
        answer.headers_mut().extend(cors.fields(&origin));
    }
    answer.headers_mut().append(header::VARY, header::ORIGIN.into());
}

//! Answers of the application that end sessions: which request is watched, and what its answer says.

use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::domain::decision::Permit;

use super::Gateway;
use super::context::RequestContext;

impl Gateway {
    /// A request that is let pass may be one whose answer ends something. Then the client's going away does not end it: the
    /// application will have done what it was asked, whoever hears of it.
    pub(super) fn watch(&self, session: &mut Session, context: &mut RequestContext) {
        if let (Some(identity), Some(target)) = (context.permit.as_ref().and_then(Permit::identity), &context.target) {
            context.watched = self.observed.watch(&session.req_header().method, target, identity);
        }
        if context.watched.is_some() {
            session.as_downstream_mut().set_abort_on_close(false);
        }
    }

    /// The head of an answer: ends what it says is over before it is passed on, or goes on with that in the background.
    pub(super) async fn observe(&self, session: &mut Session, response: &ResponseHeader, context: &mut RequestContext) {
        if response.status.is_informational() {
            return;
        }
        let Some(watched) = context.watched.take() else { return };
        session.as_downstream_mut().set_abort_on_close(true);
        let by = context.permit.as_ref().and_then(Permit::identity).cloned();
        if let Some(by) = by.filter(|_| watched.event.sign.holds(response.status, &response.headers)) {
            context.observed = Some(watched.event.end.code());
            self.authority.end_observed(watched, by, self.origin(session)).await;
        }
    }
}

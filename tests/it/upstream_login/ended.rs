//! Who is ended while the application checks the password has no session afterwards.

use sidegate::domain::session::Subject;

use super::*;

/// A login that the application answers after `meanwhile`.
async fn login_during(site: &Site, meanwhile: impl Future<Output = ()>) -> RawResponse {
    let (chunks, script) = Script::streamed(&[]);
    let asked = site.deployment.upstream.requests().len();
    let answering = async {
        site.deployment.upstream.wait_until("the application is asked", |seen| seen.len() > asked).await;
        meanwhile.await;
        chunks.push(r#"{"user":{"id":7}}"#).await;
        chunks.end().await;
    };
    tokio::join!(site.login(script), answering).0
}

async fn ends_meanwhile_leave_no_session(kind: StoreKind) {
    let site = Site::on(kind, JSON).await;
    let (ann, ben) = (Subject::parse("7").unwrap(), Subject::parse("8").unwrap());
    let ended = login_during(&site, async {
        site.store.end_subject(&ann).await.unwrap();
    })
    .await;
    assert_eq!(client::oauth_error(&ended, 400), "invalid_grant");
    assert_eq!(site.sessions().await, [], "the subject was ended");
    let ended = login_during(&site, async {
        site.store.end_realm().await.unwrap();
    })
    .await;
    assert_eq!(client::oauth_error(&ended, 400), "invalid_grant");
    assert_eq!(site.sessions().await, [], "everybody was ended");
    // What was ended before does not matter, nor who else is.
    let pair = Pair::read(
        &login_during(&site, async {
            site.store.end_subject(&ben).await.unwrap();
        })
        .await,
    );
    assert_eq!(site.me(&pair).await["sub"], "7");
    assert_eq!(client::logout_all(site.running.listen[0], &pair.access).await.status, 200);
    Pair::read(&site.login(let_in()).await);
}

#[tokio::test]
async fn ends_meanwhile_leave_no_session_in_sqlite() {
    ends_meanwhile_leave_no_session(StoreKind::Sqlite).await;
}

#[tokio::test]
async fn ends_meanwhile_leave_no_session_in_postgres() {
    ends_meanwhile_leave_no_session(StoreKind::Postgres).await;
}

//! What the operator sees: logs, audit lines and commands.

use super::*;

#[tokio::test]
async fn commands_for_built_in_users_say_that_there_are_none() {
    let deployment = Deployment::without_user(StoreKind::Sqlite, JSON).await;
    for command in [&["users", "list"][..], &["users", "disable", "ann"]] {
        let finished = deployment.command(command).await;
        assert_eq!(finished.code, Some(1), "{command:?}");
        assert!(
            finished.stderr.contains("login.provider is \"upstream\": there are no built-in users"),
            "{}",
            finished.stderr
        );
    }
    let checked = deployment.command(&["check"]).await;
    assert!(checked.stdout.contains("login     POST /api/login of default"), "{}", checked.stdout);
}

#[tokio::test]
async fn the_log_says_why_an_answer_was_unclear_and_holds_no_secret() {
    let deployment = Deployment::without_user(
        StoreKind::Sqlite,
        &format!("{FORM}[log]\nlevel = \"trace\"\n[audit]\noutput = \"stdout\"\n"),
    )
    .await;
    let mut replica = deployment.replica().await;
    let cookie = format!("PHPSESSID={MARK}");
    deployment.upstream.next(Script::answer(302, &[("Location", "/elsewhere"), ("Set-Cookie", &cookie)], MARK));
    let name = "a-password-in-the-wrong-field";
    assert_eq!(client::login(replica.gate, name, PASSWORD).await.status, 502);
    deployment.upstream.next(Script::answer(503, &[], MARK));
    assert_eq!(client::login(replica.gate, name, PASSWORD).await.status, 503);
    deployment.upstream.next(sent_home());
    Pair::read(&client::login(replica.gate, "ann", PASSWORD).await);
    replica.process.terminate();
    replica.process.exit().await;
    let said = replica.process.output();
    assert!(said.contains("the application's answer is unclear: its status is one of success, but the place it should send to is missing"), "{said}");
    assert!(said.contains("\"outcome\":\"unclear\""), "{said}");
    assert!(said.contains("the application cannot answer a login"), "{said}");
    for secret in [PASSWORD, "hunter2", MARK, "s3ss10n", name] {
        assert!(!said.contains(secret), "{secret} is in the log: {said}");
    }
}

#[tokio::test]
async fn a_password_is_not_changed_here() {
    let site = Site::new(JSON).await;
    let pair = Pair::read(&site.login(let_in()).await);
    let change = request("POST", "/auth/password").bearer(&pair.access);
    let change = change.json(&json!({ "password": PASSWORD, "new_password": "another one, longer" }));
    site.deployment.upstream.next(Script::answer(404, &[], "the application's own"));
    let answer = site.send(change).await;
    assert_eq!((answer.status, answer.text().as_str()), (404, "the application's own"), "it is no endpoint of ours");
}

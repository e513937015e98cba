//! Guessing is as slow as with our own users.

use super::*;

const FEW: &str = "[rate]\nlogin_per_account = \"2/1h\"\n";

#[tokio::test]
async fn attempts_count_by_name_in_any_case_and_a_success_forgives() {
    let site = Site::new(&format!("{JSON}{FEW}")).await;
    let gate = site.running.listen[0];
    let try_as = async |name: &str, answer: Script| {
        site.deployment.upstream.next(answer);
        client::login(gate, name, PASSWORD).await
    };
    assert_eq!(try_as("ann", Script::answer(401, &[], "")).await.status, 400);
    assert_eq!(try_as(" ANN ", let_in()).await.status, 200, "the second is right, and forgives");
    assert_eq!(try_as("Ann", Script::answer(401, &[], "")).await.status, 400);
    assert_eq!(try_as("aNN", Script::answer(401, &[], "")).await.status, 400);
    let asked = site.deployment.upstream.requests().len();
    let name = "ben";
    assert_eq!(try_as(name, Script::answer(401, &[], "")).await.status, 400, "somebody else has turns");
    assert_eq!(site.deployment.upstream.requests().len(), asked + 1);
}

#[tokio::test]
async fn who_has_no_turn_is_not_asked_about() {
    let site = Site::new(&format!("{FORM}{FEW}")).await;
    let gate = site.running.listen[0];
    for _ in 0..2 {
        assert_eq!(site.login(Script::answer(401, &[], "")).await.status, 400);
    }
    let limited = client::login(gate, "ann", PASSWORD).await;
    assert_eq!(limited.status, 429);
    assert!(limited.header("retry-after").is_some());
    assert_eq!(site.deployment.upstream.requests().len(), 2, "the application was not asked");
}

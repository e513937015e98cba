use std::time::Duration;

use futures_util::future::join_all;
use sidegate::domain::rate::{Bucket, Rate};
use sidegate::store::Taking;

use super::super::bench::Bench;
use super::super::samples::session_id;

fn rate() -> Rate {
    Rate::new(3, Duration::from_secs(30)).unwrap()
}

fn bucket(n: u32) -> Bucket {
    Bucket::refresh_of(session_id(n))
}

pub async fn a_bucket_gives_what_it_holds_and_then_one_at_a_time(bench: &Bench) {
    let store = &bench.store;
    let wait = |seconds| Taking::Wait(Duration::from_secs(seconds));
    for _ in 0..3 {
        assert_eq!(store.take(bucket(1), rate()).await.unwrap(), Taking::Taken);
    }
    assert_eq!(store.take(bucket(1), rate()).await.unwrap(), wait(10));
    bench.advance(Duration::from_secs(9)).await;
    assert_eq!(store.take(bucket(1), rate()).await.unwrap(), wait(1));
    bench.advance(Duration::from_secs(1)).await;
    assert_eq!(store.take(bucket(1), rate()).await.unwrap(), Taking::Taken);
    assert_eq!(store.take(bucket(1), rate()).await.unwrap(), wait(10));
    assert_eq!(store.take(bucket(2), rate()).await.unwrap(), Taking::Taken, "another bucket");
}

pub async fn a_refilled_bucket_is_whole(bench: &Bench) {
    let (store, elsewhere) = (&bench.store, bench.open("elsewhere").await);
    let empty = async || while store.take(bucket(1), rate()).await.unwrap() == Taking::Taken {};
    empty().await;
    elsewhere.refill(bucket(1)).await.unwrap();
    store.refill(bucket(2)).await.unwrap();
    assert_ne!(store.take(bucket(1), rate()).await.unwrap(), Taking::Taken);
    store.refill(bucket(1)).await.unwrap();
    assert_eq!(store.take(bucket(1), rate()).await.unwrap(), Taking::Taken);
    empty().await;
    assert_eq!(elsewhere.take(bucket(1), rate()).await.unwrap(), Taking::Taken, "another realm's");
}

pub async fn many_at_once_get_no_more_than_the_bucket_holds(bench: &Bench) {
    let other = bench.open("default").await;
    let stores = [&bench.store, &other];
    let taken = join_all((0..20).map(|n| stores[n % 2].take(bucket(1), rate()))).await;
    let (taken, waits): (Vec<_>, Vec<_>) =
        taken.into_iter().map(Result::unwrap).partition(|taking| *taking == Taking::Taken);
    assert_eq!(taken.len(), 3);
    assert!(waits.iter().all(|wait| matches!(wait, Taking::Wait(wait) if *wait <= Duration::from_secs(10))));
}

pub async fn a_bucket_that_a_wrong_clock_emptied_fills_in_its_time(bench: &Bench) {
    let store = &bench.store;
    bench.advance(Duration::from_hours(1000)).await;
    store.take(bucket(1), rate()).await.unwrap();
    bench.set_time(super::super::bench::START).await;
    assert_eq!(store.take(bucket(1), rate()).await.unwrap(), Taking::Wait(Duration::from_secs(10)));
    assert_eq!(store.take(bucket(1), rate()).await.unwrap(), Taking::Wait(Duration::from_secs(10)));
}

pub async fn a_bucket_that_has_long_been_whole_is_purged(bench: &Bench) {
    let store = &bench.store;
    for n in 0..5 {
        store.take(bucket(n), rate()).await.unwrap();
    }
    bench.advance(Duration::from_secs(10)).await;
    assert_eq!(store.purge(Duration::ZERO, 10).await.unwrap(), 0, "whole at this very moment");
    bench.advance(Duration::from_millis(1)).await;
    assert_eq!(store.purge(Duration::from_secs(1), 10).await.unwrap(), 0);
    assert_eq!(store.purge(Duration::ZERO, 3).await.unwrap(), 3);
    assert_eq!(store.purge(Duration::ZERO, 3).await.unwrap(), 2);
}

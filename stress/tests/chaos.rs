//! Some conversations of fixed seeds, and proof that a broken promise would be noticed.

use std::time::Duration;

use stress::conversation::{Fate, Record, hold};
use stress::judge::judge;
use stress::log::{Digest, Kind};
use stress::plan::{Plan, Taste};
use stress::proxy::{Fault, Lane, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A plan for this combination of shims in which both ends have something to say, and the client closes.
fn talkative(index: u64) -> Plan {
    let taste = Taste { faulty: 0, echoes: 0, ..Taste::CHAOS };
    (0..).map(|round| Plan::new(1, index + 4 * round, taste)).find(talks).expect("one of them talks")
}

fn talks(plan: &Plan) -> bool {
    let weigh = |end: &stress::plan::End| stress::plan::weight(&end.script);
    weigh(&plan.client) > 2000 && weigh(&plan.server) > 2000 && plan.client.closing.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_of_fixed_seeds_keep_every_promise() {
    let mut running = JoinSet::new();
    for index in 0..160 {
        let plan = Plan::new(0x5eed, index, Taste::CHAOS);
        running.spawn(async move { (index, judge(&hold(plan).await.unwrap())) });
        if index >= 24 {
            let (index, broken) = running.join_next().await.unwrap().unwrap();
            assert!(broken.is_empty(), "conversation {index}: {broken:?}");
        }
    }
    while let Some(ended) = running.join_next().await {
        let (index, broken) = ended.unwrap();
        assert!(broken.is_empty(), "conversation {index}: {broken:?}");
    }
}

/// A conversation in which this happens in one lane after the handshake.
async fn with_fault(index: u64, lane: usize, fault: Fault) -> Record {
    let mut plan = talkative(index);
    let mut lanes = [Lane::plain(), Lane::plain()];
    lanes[lane].fault = Some((600, fault));
    plan.proxy = Some(lanes);
    for end in [&mut plan.client, &mut plan.server] {
        end.config.deflate = None;
        if fault == Fault::Silence {
            end.config.ping_interval = Some(Duration::from_millis(300));
            end.config.pong_timeout = Duration::from_millis(500);
            end.config.close_timeout = Duration::from_millis(500);
        }
    }
    hold(plan).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_in_either_lane_ends_both_ends_over_either_shim() {
    let mut running = JoinSet::new();
    for fault in [Fault::Reset, Fault::HalfClose, Fault::Silence] {
        for (index, lane) in (0..4).flat_map(|index| [(index, 0), (index, 1)]) {
            running.spawn(async move { (index, lane, fault, with_fault(index, lane, fault).await) });
        }
    }
    while let Some(ended) = running.join_next().await {
        let (index, lane, fault, record) = ended.unwrap();
        let fired = record.passage.as_ref().unwrap().fault.map(|(fault, _)| fault);
        assert_eq!(fired, Some(fault), "conversation {index}, lane {lane}");
        let broken = judge(&record);
        assert!(broken.is_empty(), "{fault:?}, conversation {index}, lane {lane}: {broken:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_noticed() {
    let mut noticed = 0;
    for index in 0..4 {
        let record = with_fault(index, 0, Fault::Flip).await;
        noticed += usize::from(judge(&record).iter().any(|why| why.contains("is not what was said")));
    }
    // One that hits a header is an error of the protocol, which the judge does not mind.
    assert!(noticed > 0);
}

/// A conversation without a fault.
async fn at_peace() -> Record {
    let mut plan = talkative(0);
    plan.proxy = None;
    let record = hold(plan).await.unwrap();
    assert!(judge(&record).is_empty());
    record
}

/// What the judge says when the server has heard something else.
async fn if_heard(change: impl FnOnce(&mut Vec<Digest>)) -> Vec<String> {
    let mut record = at_peace().await;
    let Fate::Ended(server) = &mut record.server else { panic!("it has ended") };
    assert!(server.heard.all.len() > 2);
    change(&mut server.heard.all);
    judge(&record)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_lost_or_out_of_order_is_noticed() {
    assert_eq!(if_heard(|all| all.truncate(all.len() - 1)).await.len(), 1);
    assert_eq!(if_heard(|all| all[..2].rotate_left(1)).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_too_many_is_noticed() {
    assert_eq!(if_heard(|all| all.push(Digest::new(Kind::Text, b"?"))).await.len(), 1);
    assert_eq!(if_heard(|all| all.insert(0, Digest::new(Kind::Text, b"?"))).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_and_a_hang_are_noticed() {
    let mut record = at_peace().await;
    record.client = Fate::Panicked;
    assert_eq!(judge(&record), ["the client panicked"]);
    record.client = Fate::Hangs;
    assert_eq!(judge(&record), ["the client hangs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unclean_end_without_a_fault_is_noticed() {
    let mut record = at_peace().await;
    let Fate::Ended(client) = &mut record.client else { panic!("it has ended") };
    client.result = Ok(None);
    assert_eq!(judge(&record).len(), 1);
}

#[tokio::test]
async fn a_proxy_that_cuts_into_single_bytes_passes_all_of_them_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let crumbs = || Lane { chunk: (1, 1), ..Lane::plain() };
    let proxy = Proxy::bind(listener.local_addr().unwrap(), [crumbs(), crumbs()]).await.unwrap();
    let address = proxy.address().unwrap();
    let proxying = tokio::spawn(proxy.run(std::future::pending()));
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut server = listener.accept().await.unwrap().0;
    let bytes: Vec<u8> = (0..=255).cycle().take(2000).collect();
    client.write_all(&bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, bytes);
    drop(server);
    let passage = proxying.await.unwrap().unwrap();
    assert_eq!(passage.passed, [2000, 0]);
    assert!(passage.fault.is_none() && passage.failed.is_none());
}

//! A reader that doesn't read stops the writer, through the proxy and whichever side it is: what is under way stays
//! within what HTTP/2 lets each side send ahead.

#![allow(clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, reason = "the benchmarks measure memory too")]
#[path = "../benches/throughput/proxy.rs"]
mod proxy;
#[allow(
    dead_code,
    reason = "the benchmarks compare with a server without a proxy"
)]
#[path = "../benches/streams/servers.rs"]
mod servers;

use std::sync::atomic::{AtomicUsize, Ordering};

use cloudstate_protocol::tck::model::action::Request;
use cloudstate_protocol::tck::model::action::action_tck_model_client::ActionTckModelClient;
use futures_util::stream;
use proxy::Proxy;
use servers::{SENT, Servers, TAKEN, endless};
use tonic::transport::Channel;

/// More small messages than all windows and socket buffers on the way hold, and far fewer than a writer that nobody
/// stops sends meanwhile.
const BOUND: usize = 1_000_000;

type Client = ActionTckModelClient<Channel>;

async fn client(proxy: &Proxy) -> Client {
    let endpoint = Channel::from_shared(format!("http://{}", proxy.address)).unwrap();
    Client::new(endpoint.connect().await.unwrap())
}

/// Many calls through the same proxy: whoever could write more has had the time for it.
async fn fence(mut client: Client) {
    for _ in 0..500 {
        client.process_unary(Request::default()).await.unwrap();
    }
}

fn assert_stopped(counter: &AtomicUsize) {
    let count = counter.load(Ordering::Relaxed);
    assert!(0 < count && count < BOUND, "{count} messages were sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_stops_the_writer_on_either_side() {
    let servers = Servers::start().unwrap();
    let proxy = Proxy::start(servers.function, &["--journal=memory"]).unwrap();

    let answers = client(&proxy).await.process_streamed_out(endless()).await;
    let mut answers = answers.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
    fence(client(&proxy).await).await;
    assert_stopped(&SENT);

    let mut streaming = client(&proxy).await;
    let requests = stream::repeat_with(|| {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        endless()
    });
    let call = tokio::spawn(async move { drop(streaming.process_streamed_in(requests).await) });
    fence(client(&proxy).await).await;
    assert_stopped(&TAKEN);
    call.abort();
    drop(answers);
}

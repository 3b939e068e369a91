//! The control stream: orders to the fabric, and what it tells.

use std::io;

use peerlab_link::proto::{FromFabric, HEARTBEAT_INTERVAL, ToFabric};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::mux::{Mux, read_message, write_message};

/// Orders that may wait to be written.
const ORDERS_MAX: usize = 64;
/// Messages of the fabric that may wait to be read: more than one for each of a thousand nodes,
/// as when all gates open.
const TOLD_MAX: usize = 4096;

/// The harness' end of the control stream.
#[derive(Debug)]
pub struct Control {
    orders: mpsc::Sender<ToFabric>,
    told: mpsc::Receiver<FromFabric>,
}

impl Control {
    /// Opens the first stream of the connection, which is the control stream.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn open(mux: &Mux) -> io::Result<Control> {
        let (mut read, mut write) = tokio::io::split(mux.open().await?);
        let (orders, mut to_write) = mpsc::channel::<ToFabric>(ORDERS_MAX);
        let (tell, told) = mpsc::channel(TOLD_MAX);
        tokio::spawn(async move {
            loop {
                let order = next_order(&mut to_write).await;
                if let Err(error) = write_message(&mut write, &order).await {
                    tracing::debug!("control stream: {error}");
                    break;
                }
            }
        });
        tokio::spawn(async move {
            loop {
                match read_message(&mut read).await {
                    Ok(Some(message)) => {
                        // Once all is over nobody listens. The stream stays open nonetheless: the
                        // fabric ends with it, and with the fabric every node at one instant.
                        let _ = tell.send(message).await;
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!("control stream: {error}");
                        break;
                    }
                }
            }
        });
        Ok(Control { orders, told })
    }

    /// Sends an order. Orders to a fabric that has ended are lost: `told` says that it has.
    pub async fn order(&self, order: ToFabric) {
        let _ = self.orders.send(order).await;
    }

    /// The next message of the fabric; `None` when it has ended.
    pub async fn told(&mut self) -> Option<FromFabric> {
        self.told.recv().await
    }
}

/// What to say next: an order, or that the harness is there. That is said as long as the connection
/// lasts: when no order comes any more the nodes are still being removed.
async fn next_order(orders: &mut mpsc::Receiver<ToFabric>) -> ToFabric {
    let order = async {
        match orders.recv().await {
            Some(order) => order,
            None => std::future::pending().await,
        }
    };
    let order = timeout(HEARTBEAT_INTERVAL.into(), order).await;
    order.unwrap_or(ToFabric::Heartbeat)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
    use peerlab_link::framing::frame;
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;

    /// What the fabric is told next.
    async fn heard(stream: &mut yamux::Stream) -> ToFabric {
        let mut length = [0; 4];
        stream.read_exact(&mut length).await.unwrap();
        let mut body = vec![0; u32::from_le_bytes(length) as usize];
        stream.read_exact(&mut body).await.unwrap();
        peerlab_link::proto::decode(&body).unwrap()
    }

    /// The fabric's end of the first stream of a connection.
    async fn accept(fabric: tokio::io::DuplexStream) -> yamux::Stream {
        let config = yamux::Config::default();
        let mut connection = yamux::Connection::new(fabric.compat(), config, yamux::Mode::Server);
        let opened = poll_fn(|cx| connection.poll_next_inbound(cx)).await;
        // Carries the connection out, as the fabric does.
        tokio::spawn(async move { poll_fn(|cx| connection.poll_next_inbound(cx)).await });
        opened.unwrap().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn something_is_said_each_second_until_the_connection_closes() {
        let (harness, fabric) = tokio::io::duplex(1 << 16);
        let mux = Mux::start(Box::new(harness));
        let control = Control::open(&mux).await.unwrap();
        let begun = tokio::time::Instant::now();
        control.order(ToFabric::Count).await;
        let mut stream = accept(fabric).await;
        assert_eq!(heard(&mut stream).await, ToFabric::Count);
        for second in 1..100 {
            assert_eq!(heard(&mut stream).await, ToFabric::Heartbeat);
            assert_eq!(begun.elapsed(), Duration::from_secs(second));
        }
        // Nobody gives orders any more.
        drop(control);
        for second in 100..200 {
            assert_eq!(heard(&mut stream).await, ToFabric::Heartbeat);
            assert_eq!(begun.elapsed(), Duration::from_secs(second));
        }
        mux.close();
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    }

    /// The fabric ends with the stream, and all nodes with the fabric: they are removed before.
    #[tokio::test]
    async fn the_stream_stays_open_when_nobody_listens_any_more() {
        let (harness, fabric) = tokio::io::duplex(1 << 16);
        let mux = Mux::start(Box::new(harness));
        let control = Control::open(&mux).await.unwrap();
        control.order(ToFabric::Count).await;
        let mut stream = accept(fabric).await;
        let order = frame(&ToFabric::Count);
        stream.read_exact(&mut vec![0; order.len()]).await.unwrap();
        drop(control);
        let unheard = frame(&FromFabric::Failed {
            reason: "nobody hears this".into(),
        });
        for _ in 0..3 {
            stream.write_all(&unheard).await.unwrap();
            stream.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut byte = [0];
        assert!(stream.read(&mut byte).now_or_never().is_none());
        mux.close();
        let ended = stream.read(&mut byte).await.unwrap_or(0);
        assert_eq!(ended, 0, "with the connection");
    }
}

//! The control stream: orders to the fabric, and what it tells.

use std::io;

use peerlab_link::proto::{FromFabric, ToFabric};
use tokio::io::WriteHalf;
use tokio::sync::mpsc;

use super::mux::{Mux, MuxStream, read_message, write_message};

/// Messages of the fabric that may wait to be read: more than one for each of a thousand nodes,
/// as when all gates open.
const TOLD_MAX: usize = 4096;

/// The harness' end of the control stream.
#[derive(Debug)]
pub struct Control {
    orders: WriteHalf<MuxStream>,
    told: mpsc::Receiver<FromFabric>,
}

impl Control {
    /// Opens the first stream of the connection, which is the control stream.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn open(mux: &Mux) -> io::Result<Control> {
        let (mut read, orders) = tokio::io::split(mux.open().await?);
        let (tell, told) = mpsc::channel(TOLD_MAX);
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
    pub async fn order(&mut self, order: ToFabric) {
        if let Err(error) = write_message(&mut self.orders, &order).await {
            tracing::debug!("control stream: {error}");
        }
    }

    /// The next message of the fabric; `None` when it has ended.
    pub async fn told(&mut self) -> Option<FromFabric> {
        self.told.recv().await
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
    use peerlab_link::framing::frame;
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;

    /// The fabric ends with the stream, and all nodes with the fabric: they are removed before.
    #[tokio::test]
    async fn the_stream_stays_open_when_nobody_listens_any_more() {
        let (harness, fabric) = tokio::io::duplex(1 << 16);
        let mux = Mux::start(Box::new(harness));
        let config = yamux::Config::default();
        let mut connection = yamux::Connection::new(fabric.compat(), config, yamux::Mode::Server);
        let mut control = Control::open(&mux).await.unwrap();
        control.order(ToFabric::Count).await;
        let opened = poll_fn(|cx| connection.poll_next_inbound(cx)).await;
        let mut stream = opened.unwrap().unwrap();
        // Carries the connection out, as the fabric does.
        tokio::spawn(async move { poll_fn(|cx| connection.poll_next_inbound(cx)).await });
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

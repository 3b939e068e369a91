//! The control stream: orders to the fabric, and what it tells.

use std::io;

use peerlab_link::proto::{FromFabric, ToFabric};
use tokio::sync::mpsc;

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
            while let Some(order) = to_write.recv().await {
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
                        if tell.send(message).await.is_err() {
                            break;
                        }
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

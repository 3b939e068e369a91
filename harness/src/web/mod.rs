//! A network that is up, as a page for a browser on this machine: `admission` says who is let in, `watcher`
//! what is seen of the network, `routes` what is answered, `server` takes connections.

mod admission;
mod routes;
mod server;
mod watcher;

pub use server::WebServer;

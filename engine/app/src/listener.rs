//! The listener: takes connections, bounds them, and ends them when the engine ends.
//!
//! A connection that sends half a request must neither stay for ever nor keep the engine from ending: heads have a time limit,
//! connections a number, and a stop a deadline. What is said over them is [`crate::api`]'s and [`crate::door`]'s.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service;

use crate::limits;

/// Serves until `stop` says so; then requests under way are finished, within [`limits::GOODBYE_TIME_MAX`].
pub async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let permit = tokio::select! {
            permit = room.clone().acquire_owned() => permit.expect("nobody closes the semaphore"),
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, remote)) => drop(connections.spawn(converse(stream, remote, router.clone(), stop.clone(), permit))),
            Err(error) => {
                // Out of file descriptors, mostly: others end meanwhile.
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(limits::WATCH_EVERY).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits::GOODBYE_TIME_MAX, all).await.is_err() {
        tracing::warn!(open = connections.len(), "connections that did not finish in time are cut off");
        connections.shutdown().await;
    }
}

async fn converse(
    stream: TcpStream,
    remote: SocketAddr,
    router: Router,
    mut stop: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    // Small answers must not wait for company.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(remote));
        router.clone().call(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_TIME_MAX)
        .max_buf_size(limits::HEAD_BYTES_MAX)
        .max_headers(limits::HEAD_LINES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // A sender that goes away in the middle is its own affair.
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

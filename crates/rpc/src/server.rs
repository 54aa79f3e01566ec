//! The listener: accepts connections up to a limit and stops without cutting answers short.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use crate::backend::Backend;
use crate::config::{ConfigError, RpcConfig};
use crate::endpoints::Endpoints;
use crate::head_guard::{HeadGuard, Phase};
use crate::http::{Place, Shared, router};

/// Pause after a failed accept: the system is out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of request head that are buffered.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: text/plain\r\n\
    content-length: 21\r\n\r\ntoo many connections\n";

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum RpcServerError {
    /// A limit is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another port, or stop the process that uses it")]
    Bind {
        /// Address asked for.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
}

/// A running server. Dropping it stops it at once; [`RpcServer::stop`] lets open answers finish.
#[derive(Debug)]
pub struct RpcServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    places: Arc<Semaphore>,
    connections_max: u32,
    grace: Duration,
}

impl RpcServer {
    /// Binds the port and serves from then on. Metrics handles are taken here, so a recorder has to be
    /// installed before.
    ///
    /// # Errors
    /// [`RpcServerError`].
    pub async fn start(config: RpcConfig, backend: Backend) -> Result<Self, RpcServerError> {
        config.validate()?;
        let bind = |source| RpcServerError::Bind { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let connections_max =
            u32::try_from(config.connections_max).expect("validate() bounds connections_max");
        let places = Arc::new(Semaphore::new(connections_max as usize));
        let timeouts = Timeouts {
            header: Duration::from_millis(config.header_timeout_ms),
            idle: Duration::from_millis(config.idle_timeout_ms),
        };
        let grace = Duration::from_millis(config.shutdown_grace_ms);
        let (stop, stopped) = watch::channel(false);
        let endpoints = Arc::new(Endpoints::new(backend, &config));
        let shared = Shared { endpoints, stop: stopped.clone() };
        let acceptor =
            Acceptor { router: router(shared), places: Arc::clone(&places), stop: stopped, timeouts };
        let accepting = tokio::spawn(acceptor.run(listener));
        Ok(Self { address, stop, accepting, places, connections_max, grace })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, closes WebSockets, and waits for open answers as long as the configuration allows.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let all = tokio::time::timeout(self.grace, self.places.acquire_many(self.connections_max)).await;
        if all.is_err() {
            tracing::debug!("some connections were still open when the grace period ended");
        }
        self.accepting.abort();
    }
}

impl Drop for RpcServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.accepting.abort();
    }
}

/// Waits until the server is told to stop, or is dropped.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _told_or_dropped = stop.wait_for(|stop| *stop).await.is_ok();
}

#[derive(Debug)]
struct Acceptor {
    router: Router,
    places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
    timeouts: Timeouts,
}

/// How long a connection may take to send a head, and how long it may be without a request.
#[derive(Clone, Copy, Debug)]
struct Timeouts {
    header: Duration,
    idle: Duration,
}

impl Acceptor {
    async fn run(mut self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = stopped(&mut self.stop) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => self.admit(stream),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            // One short write into an empty socket buffer: it is taken at once or not at all.
            if let Err(error) = stream.try_write(BUSY) {
                tracing::trace!(%error, "a surplus connection was dropped without an answer");
            }
            return;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::trace!(%error, "TCP_NODELAY could not be set");
        }
        tokio::spawn(serve(stream, self.router.clone(), place, self.stop.clone(), self.timeouts));
    }
}

async fn serve(
    stream: TcpStream,
    router: Router,
    place: OwnedSemaphorePermit,
    mut stop: watch::Receiver<bool>,
    timeouts: Timeouts,
) {
    gauge!("anfs_rpc_connections").increment(1.0);
    let place: Place = Arc::new(place);
    let phase = Phase::new();
    let socket = HeadGuard::new(stream, phase.clone(), timeouts.header);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        phase.request_begins();
        let phase = phase.clone();
        let mut request = request.map(Body::new);
        // A WebSocket outlives this connection's task and keeps the place with it.
        request.extensions_mut().insert(Arc::clone(&place));
        let answer = router.clone().oneshot(request);
        async move {
            let answer = answer.await?;
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                phase.upgraded();
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Runs from the end of the last answer on; the guard around the socket times heads.
        .header_read_timeout(timeouts.idle.max(timeouts.header))
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
    gauge!("anfs_rpc_connections").decrement(1.0);
}

//! Routes of the one port: JSON-RPC by POST, WebSocket by upgrade, health and metrics by GET.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::config::RpcConfig;
use crate::dispatch::Dispatcher;
use crate::endpoints::Endpoints;
use crate::error::{INVALID_REQUEST, RpcError};
use crate::wire::error_response;
use crate::ws;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// A refused body is read and thrown away up to this many times the limit, so that the client, which is still
/// sending, gets to read the refusal rather than a reset.
const DRAIN_FACTOR: usize = 8;

/// A connection's place among those that are allowed; held by whatever serves it.
pub(crate) type Place = Arc<OwnedSemaphorePermit>;

/// What every route shares.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Builds the routes.
pub(crate) fn router(shared: Shared) -> Router {
    let config = &shared.endpoints.main().api.config;
    let origins = if config.cors_origins.is_empty() {
        AllowOrigin::from(Any)
    } else {
        AllowOrigin::list(config.cors_origins.iter().filter_map(|origin| origin.parse().ok()))
    };
    let cors = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::OPTIONS])
        .allow_headers(Any);
    Router::new()
        .route("/", any(entry))
        .route("/ws", any(entry))
        .route("/shard/{domain}", any(shard_entry))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(unknown)
        .layer(cors)
        .with_state(shared)
}

async fn ready(State(shared): State<Shared>) -> Response {
    match shared.endpoints.main().api.backend.probe.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(waiting) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {waiting}\n")).into_response(),
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    ([(CONTENT_TYPE, kind)], shared.endpoints.main().api.backend.probe.metrics()).into_response()
}

async fn unknown() -> Response {
    let text = "nothing is served here: JSON-RPC is at /, one shard's own chain at /shard/<number>; \
        health at /healthz and /readyz, metrics at /metrics\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

async fn entry(State(shared): State<Shared>, request: Request<Body>) -> Response {
    let dispatcher = Arc::clone(shared.endpoints.main());
    serve(dispatcher, shared.stop, request).await
}

async fn shard_entry(
    State(shared): State<Shared>,
    Path(domain): Path<String>,
    request: Request<Body>,
) -> Response {
    match shared.endpoints.shard(&domain) {
        Ok(dispatcher) => serve(Arc::clone(dispatcher), shared.stop.clone(), request).await,
        Err(text) => (StatusCode::NOT_FOUND, text).into_response(),
    }
}

async fn serve(dispatcher: Arc<Dispatcher>, stop: watch::Receiver<bool>, request: Request<Body>) -> Response {
    match *request.method() {
        Method::POST => call(&dispatcher, request).await,
        Method::GET => upgrade(dispatcher, stop, request).await,
        _ => (StatusCode::METHOD_NOT_ALLOWED, "send JSON-RPC by POST or WebSocket\n").into_response(),
    }
}

async fn call(dispatcher: &Dispatcher, request: Request<Body>) -> Response {
    if !is_json(request.headers()) {
        let text = "send JSON-RPC with Content-Type: application/json\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
    }
    let config = &dispatcher.api.config;
    let body = match tokio::time::timeout(
        Duration::from_millis(config.body_timeout_ms),
        read(config, request),
    )
    .await
    {
        Ok(Ok(body)) => body,
        Ok(Err(refusal)) => return refusal,
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive\n").into_response(),
    };
    match dispatcher.answer(&body, None, &mut Vec::new()).await {
        Some(answer) => ([(CONTENT_TYPE, JSON)], answer).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.eq_ignore_ascii_case("application/json-rpc")
}

/// Reads the body up to the limit, whatever length it claims.
async fn read(config: &RpcConfig, request: Request<Body>) -> Result<Vec<u8>, Response> {
    let limit = config.request_bytes_max;
    let claimed = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let claimed: usize = claimed.unwrap_or(0);
    let mut stream = request.into_body().into_data_stream();
    let mut body = Vec::with_capacity(claimed.min(limit).min(64 * 1024));
    let mut seen = 0;
    let mut over = claimed > limit;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            (StatusCode::BAD_REQUEST, format!("the body could not be read: {error}\n")).into_response()
        })?;
        seen += chunk.len();
        over |= seen > limit;
        if !over {
            body.extend_from_slice(&chunk);
        } else if seen > limit.saturating_mul(DRAIN_FACTOR) {
            break;
        }
    }
    if over {
        let text = format!("request body too large: the limit is {limit} bytes; send it in parts");
        let answer = error_response(RpcError::new(INVALID_REQUEST, text));
        return Err((StatusCode::PAYLOAD_TOO_LARGE, [(CONTENT_TYPE, JSON)], answer).into_response());
    }
    Ok(body)
}

async fn upgrade(
    dispatcher: Arc<Dispatcher>,
    stop: watch::Receiver<bool>,
    request: Request<Body>,
) -> Response {
    let config = &dispatcher.api.config;
    if !origin_allowed(config, request.headers()) {
        return (StatusCode::FORBIDDEN, "this origin may not connect\n").into_response();
    }
    let (mut parts, _) = request.into_parts();
    let place = parts.extensions.get::<Place>().cloned();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(_) => {
            let text = "this is a JSON-RPC endpoint: send requests by POST, or connect by WebSocket\n";
            return (StatusCode::METHOD_NOT_ALLOWED, text).into_response();
        }
    };
    upgrade.max_message_size(config.request_bytes_max).max_frame_size(config.request_bytes_max).on_upgrade(
        async move |socket| {
            ws::run(socket, dispatcher, stop).await;
            drop(place);
        },
    )
}

/// Browsers apply no CORS to WebSockets: the server has to look at the origin itself.
fn origin_allowed(config: &RpcConfig, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    config.cors_origins.is_empty()
        || config.cors_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
}

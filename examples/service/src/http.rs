//! HTTP on loopback: a server on a port that the operating system picks, and a small client without TLS.

use std::io;

use axum::Router;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;

/// Serves these routes until the program ends. Returns the address.
pub(crate) async fn serve(router: Router) -> io::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// A client that keeps its connections.
#[derive(Clone)]
pub(crate) struct Client {
    address: String,
    connections: legacy::Client<HttpConnector, Full<Bytes>>,
}

/// An answer: its status and its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// The reason for which there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("the request cannot be written")]
    Request(#[from] hyper::http::Error),
    #[error("the body cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("the connection failed")]
    Connection(#[from] legacy::Error),
    #[error("the answer broke off")]
    Body(#[from] hyper::Error),
}

impl Client {
    pub(crate) fn new(address: &str) -> Self {
        let connections = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { address: address.to_owned(), connections }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, HttpError> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, HttpError> {
        self.send(Method::POST, path, serde_json::to_vec(body)?.into()).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, HttpError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let answer = self.connections.request(request).await?;
        Ok(Answer { status: answer.status().as_u16(), body: answer.into_body().collect().await?.to_bytes() })
    }
}

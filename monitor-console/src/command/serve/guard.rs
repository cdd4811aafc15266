//! The guard before all pages: who may ask, and what every answer carries.
//!
//! Takes a request; lets it pass, or answers it. The name in `Host` is checked first, because a page of another site can
//! make a browser ask this server under a name of its own (DNS rebinding). Then the token, and for writes where the request
//! comes from. Every answer, also a refusal, carries the headers that keep a browser from running what is not this server's.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, html};

use super::address;
use super::app::App;
use super::listen::Listener;
use crate::arguments::ServeOptions;

/// The fewest characters of a token.
pub(super) const TOKEN_CHARACTERS_MIN: usize = 16;
/// The random bytes of a token: 128 bits.
const TOKEN_BYTES: usize = 16;
/// The parameter of an address that carries the token once.
const TOKEN_PARAMETER: &str = "t";
/// The addresses that need no token: a request without a token gets states and process ids, and no name of a service or
/// a function.
const OPEN_PATHS: [&str; 3] = ["/livez", "/healthz", "/readyz"];

/// The headers that proxies add to a request. Some proxies add none unless they are told to.
const PROXY_HEADERS: [&str; 6] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];

/// The headers of every answer.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    // Under `no-referrer` a browser sends `Origin: null` with the forms of our own pages, and no write would be let in.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
];

/// The rules for requests.
pub(super) struct Guard {
    /// The names of the server as `Host` may carry them, in lower case.
    hosts: Vec<String>,
    token: Option<String>,
    /// The token in the forms of pages, which other sites cannot read.
    form_token: String,
    cookie: String,
    base_path: String,
    /// True if metrics need no token, unless a proxy passed the request on.
    has_open_metrics: bool,
}

impl Guard {
    /// Makes the rules for the server of this listener.
    pub(super) fn new(listener: &Listener, options: &ServeOptions, token: Option<String>) -> Result<Self> {
        let mut hosts = Vec::new();
        if let Some(address) = listener.address() {
            let port = address.port();
            hosts.push(address.to_string());
            for name in ["127.0.0.1", "localhost", "[::1]"] {
                hosts.push(format!("{name}:{port}"));
                if port == 80 {
                    hosts.push(name.to_owned());
                }
            }
            hosts.extend(options.host.iter().flat_map(|name| [name.clone(), format!("{name}:{port}")]));
        } else {
            hosts.push("localhost".to_owned());
            hosts.extend(options.host.clone());
        }
        for host in &mut hosts {
            host.make_ascii_lowercase();
        }
        // Browsers keep cookies by host without the port, so the port in the name tells two servers apart.
        let cookie = format!("monitor_{}", listener.port().unwrap_or(0));
        let is_loopback = listener.address().is_none_or(|address| address.ip().is_loopback());
        Ok(Self {
            hosts,
            token,
            form_token: draw_token()?,
            cookie,
            base_path: options.base_path.clone(),
            has_open_metrics: is_loopback && !options.token_metrics && !is_behind_proxy(options),
        })
    }

    /// Returns the address to open first; it carries the token.
    pub(super) fn first_address(&self) -> String {
        let host = self.hosts.first().map_or("localhost", String::as_str);
        // A browser cannot open an address that stands for all addresses of a computer.
        let host = host.replacen("0.0.0.0", "127.0.0.1", 1).replacen("[::]", "[::1]", 1);
        let token =
            self.token.as_ref().map(|token| format!("?{TOKEN_PARAMETER}={token}")).unwrap_or_default();
        format!("http://{host}{}/{token}", self.base_path)
    }

    /// Returns the token that a form carries.
    pub(super) fn form_token(&self) -> &str {
        &self.form_token
    }

    /// Returns true if the text is the token of our forms.
    pub(super) fn is_form_token(&self, text: &str) -> bool {
        is_equal(text, &self.form_token)
    }

    /// Returns true if the request is for one of the server's names.
    fn is_ours(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let is_known = |host: &str| self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
        let mut hosts = headers.get_all(header::HOST).iter();
        let (host, second) = (hosts.next(), hosts.next());
        let is_host_known = host.and_then(|host| host.to_str().ok()).is_some_and(is_known);
        is_host_known
            && second.is_none()
            && uri.authority().is_none_or(|authority| is_known(authority.as_str()))
    }

    /// Returns true if the request carries the token as a cookie or as a bearer token, or if the server needs none.
    pub(super) fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let texts =
            |name| headers.get_all(name).into_iter().filter_map(|value: &HeaderValue| value.to_str().ok());
        let has_cookie = texts(header::COOKIE).flat_map(|text| text.split(';')).any(|pair| {
            pair.trim()
                .split_once('=')
                .is_some_and(|(name, value)| name == self.cookie && is_equal(value, token))
        });
        has_cookie || self.is_bearer(headers)
    }

    /// Returns true if the request carries the token in a header that a page of another site cannot send.
    pub(super) fn is_bearer(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return false };
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        value.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|value| is_equal(value, token))
    }

    /// Returns true if a request that writes comes from one of our pages, or from a script that has the token.
    pub(super) fn is_from_us(&self, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if text("sec-fetch-site").is_some_and(|site| site != "same-origin") {
            return false;
        }
        match text("origin") {
            Some(origin) => {
                let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
                let asked = text("host").unwrap_or_default();
                host.is_some_and(|host| host.eq_ignore_ascii_case(asked))
            }
            None => self.is_bearer(headers),
        }
    }

    /// Returns the answer to a request that carries the token in its address: a cookie, and the address without the token.
    fn exchange(&self, uri: &Uri) -> Option<Response> {
        let given = address::parameter(uri.query(), TOKEN_PARAMETER)?;
        let token = self.token.as_ref()?;
        if !is_equal(&given, token) {
            return Some(refuse_token());
        }
        let rest = address::without_parameter(uri.query(), TOKEN_PARAMETER);
        let clean = if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{rest}", uri.path()) };
        // A path that begins with two slashes would lead to another host.
        let clean = format!("/{}", clean.trim_start_matches(['/', '\\']));
        let cookie = format!("{}={token}; HttpOnly; SameSite=Strict; Path=/", self.cookie);
        let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, clean)];
        Some((StatusCode::SEE_OTHER, headers).into_response())
    }
}

/// Returns true if an option tells of a proxy. Other computers then reach a server that listens on a loopback address.
fn is_behind_proxy(options: &ServeOptions) -> bool {
    !options.host.is_empty() || !options.base_path.is_empty() || options.token_file.is_some()
}

/// Returns true if a proxy says that it passed the request on, because no option need tell of the proxy.
fn is_passed_on(headers: &HeaderMap) -> bool {
    PROXY_HEADERS.iter().any(|name| headers.contains_key(*name))
}

/// Draws a token: 128 random bits as hexadecimal digits.
pub(super) fn draw_token() -> Result<String> {
    let mut bytes = [0_u8; TOKEN_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow!("the system gives no random bytes for a token: {error}"))?;
    Ok(bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'))
        .collect())
}

/// Compares texts in a time that does not depend on where they differ.
fn is_equal(given: &str, token: &str) -> bool {
    let difference = given.bytes().zip(token.bytes()).fold(0_u8, |sum, (a, b)| sum | (a ^ b));
    given.len() == token.len() && std::hint::black_box(difference) == 0
}

/// Lets a request pass or answers it, and puts the headers on the answer.
pub(super) async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let guard = app.guard();
    let is_head_or_get = matches!(*request.method(), Method::GET | Method::HEAD);
    let path = request.uri().path();
    let path = path.strip_prefix(guard.base_path.as_str()).unwrap_or(path);
    let is_metrics = guard.has_open_metrics && path == "/metrics" && !is_passed_on(request.headers());
    let is_open = is_head_or_get && (is_metrics || OPEN_PATHS.contains(&path));
    let mut response = if guard.is_ours(request.headers(), request.uri()) {
        let exchanged = if is_head_or_get { guard.exchange(request.uri()) } else { None };
        match exchanged {
            Some(response) => response,
            None if is_open || guard.has_token(request.headers()) => next.run(request).await,
            None => refuse_token(),
        }
    } else {
        StatusCode::MISDIRECTED_REQUEST.into_response()
    };
    add_headers(response.headers_mut());
    response
}

fn add_headers(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let keep = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(keep);
}

/// Answers a request without the token.
fn refuse_token() -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "monitor: no token" } }
            body {
                h1 { "This address needs a token" }
                p { "Open the address that `monitor serve` printed when it started: it ends with the token, which is new at each start. A script sends it as `Authorization: Bearer TOKEN`." }
            }
        }
    };
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, headers, page.into_string()).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn tokens_are_compared_as_a_whole_and_drawn_anew() {
        assert!(is_equal("abc", "abc"));
        assert!(
            !is_equal("abd", "abc")
                && !is_equal("ab", "abc")
                && !is_equal("", "abc")
                && !is_equal("abcd", "abc")
        );
        let (one, other) = (draw_token().unwrap(), draw_token().unwrap());
        assert!(one.len() == 32 && one != other);
    }
}

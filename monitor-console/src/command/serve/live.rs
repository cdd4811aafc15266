//! Events that make an open page refresh itself.
//!
//! Takes the name of a store; gives an event when its files have changed, and a comment while they have not, so that
//! the server notices a client that has gone. The page fetches itself anew and replaces the panels that differ. No
//! connection to the store stays open meanwhile: the dates of its files show every commit, and a store that was
//! replaced.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::address::parameter;
use super::app::{self, App, Form, Mark, Refusal};

/// The most pages that wait for events.
pub(super) const LISTENERS_MAX: usize = 8;
/// The number of looks without a change after which a comment is sent.
const IDLE_POLLS: u32 = 5;

/// A page that waits for events.
struct Listener {
    app: Arc<App>,
    path: std::path::PathBuf,
    mark: Mark,
    is_greeted: bool,
    _permit: OwnedSemaphorePermit,
}

/// Answers with events until the client has gone.
#[allow(clippy::unused_async, reason = "a handler is asynchronous")]
pub(super) async fn events(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let name = parameter(uri.query(), "db").filter(|name| !name.is_empty());
    let path = match app.choose_store(name.as_deref()) {
        Ok(store) => store.path.clone(),
        Err(error) => return app::explain(&app, &error, Form::Json),
    };
    let Ok(permit) = Arc::clone(&app.listeners).try_acquire_owned() else {
        return app::explain(&app, &Refusal::busy(), Form::Json);
    };
    let mark = Mark::read(&path);
    let listener = Listener { app, path, mark, is_greeted: false, _permit: permit };
    let events = stream::unfold(listener, |mut listener| async {
        if !std::mem::replace(&mut listener.is_greeted, true) {
            // The first bytes show a browser that the connection is open.
            return Some((Ok::<_, Infallible>(Event::default().comment("waiting")), listener));
        }
        for _ in 0..IDLE_POLLS {
            tokio::time::sleep(listener.app.refresh()).await;
            let mark = Mark::read(&listener.path);
            if mark != listener.mark {
                listener.mark = mark;
                return Some((Ok(Event::default().event("tick").data("changed")), listener));
            }
        }
        Some((Ok(Event::default().comment("unchanged")), listener))
    });
    Sse::new(events).into_response()
}

//! Events that make an open page refresh itself.
//!
//! Takes the name of a store; gives an event when its files have changed, and a comment while they have not, so that
//! the server notices a client that has gone. The page fetches itself anew and replaces the panels that differ. No
//! connection to the store stays open meanwhile: the dates of its files show every commit, and a store that was
//! replaced or that programs have left for another file.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::address::parameter;
use super::app::{self, App, Form, Mark, Refusal, Served};

/// The most pages that wait for events.
pub(super) const LISTENERS_MAX: usize = 8;
/// The number of looks without a change after which a comment is sent.
const IDLE_POLLS: u32 = 5;

/// The file that programs use for a store, and its state.
type Seen = Option<(PathBuf, Mark)>;

/// Looks at the file that programs use for a store now. The look reads the file that was named, so a thread for queries
/// takes it.
async fn look(served: Served) -> Seen {
    let look = move || {
        let path = served.path_in_use();
        let mark = Mark::read(&path);
        (path, mark)
    };
    tokio::task::spawn_blocking(look).await.ok()
}

/// A page that waits for events.
struct Listener {
    app: Arc<App>,
    served: Served,
    seen: Seen,
    is_greeted: bool,
    _permit: OwnedSemaphorePermit,
}

/// Answers with events until the client has gone.
pub(super) async fn events(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let name = parameter(uri.query(), "db").filter(|name| !name.is_empty());
    let served = match app.choose_store(name.as_deref()) {
        Ok(store) => store.clone(),
        Err(error) => return app::explain(&app, &error, Form::Json),
    };
    let Ok(permit) = Arc::clone(&app.listeners).try_acquire_owned() else {
        return app::explain(&app, &Refusal::busy(), Form::Json);
    };
    let seen = look(served.clone()).await;
    let listener = Listener { app, served, seen, is_greeted: false, _permit: permit };
    let events = stream::unfold(listener, |mut listener| async {
        if !std::mem::replace(&mut listener.is_greeted, true) {
            // The first bytes show a browser that the connection is open.
            return Some((Ok::<_, Infallible>(Event::default().comment("waiting")), listener));
        }
        for _ in 0..IDLE_POLLS {
            tokio::time::sleep(listener.app.refresh()).await;
            let seen = look(listener.served.clone()).await;
            if seen != listener.seen {
                listener.seen = seen;
                return Some((Ok(Event::default().event("tick").data("changed")), listener));
            }
        }
        Some((Ok(Event::default().comment("unchanged")), listener))
    });
    Sse::new(events).into_response()
}

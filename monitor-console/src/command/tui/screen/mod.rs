//! The screens: each takes the state and draws it on a buffer. Pure, apart from the buffer.
//!
//! A frame is a header, the tabs, what the screen shows, and a footer with keys, a prompt or a sentence. Nothing here asks
//! the store, and nothing here changes the state.

mod canvas;
mod list;
mod frame;
mod prompts;
mod functions;
mod calls;
mod trace;
mod failures;
mod live;
mod findings;
mod changes;
mod processes;
pub(super) mod command;

use ratatui::buffer::Buffer;

use super::facts::Page;
use super::state::{Layer, SMALLEST, State, Tab};
use canvas::{BAD, Canvas, DIM};

pub(super) use canvas::Look;
pub(super) use frame::{TABS_ROW, find_tab};

/// Draws the state on a buffer of the size of the screen.
pub(super) fn render(state: &State, look: Look, buffer: &mut Buffer) {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let mut canvas = Canvas { buffer };
    if columns < SMALLEST.0 || rows < SMALLEST.1 {
        let text = format!("too small: {} × {} needed", SMALLEST.0, SMALLEST.1);
        canvas.text((0, 0), columns, &text, BAD);
    } else {
        frame::draw(&mut canvas, state);
        if state.is_help_shown {
            prompts::draw_help(&mut canvas);
        } else {
            draw_page(&mut canvas, state);
            prompts::draw(&mut canvas, state);
        }
    }
    canvas::adapt(buffer, look);
}

fn draw_page(canvas: &mut Canvas<'_>, state: &State) {
    match (&state.page, state.above.last()) {
        (Page::Loading, _) => say(canvas, state, "reading the store …"),
        (Page::Failed(reason), _) => {
            canvas.paragraph(
                (1, state.list_top()),
                (canvas.width() - 2, 5),
                &canvas::Text::styled(reason, BAD),
            );
        }
        (Page::Functions(found), _) => functions::draw(canvas, state, found),
        (Page::Calls(found), _) => calls::draw(canvas, state, found),
        (Page::Trace(Some(tree)), _) => trace::draw(canvas, state, tree),
        (Page::Trace(None), _) => say(canvas, state, "the call is past the store's retention"),
        (Page::Kinds(kinds), _) => failures::draw(canvas, state, kinds),
        (Page::Live(report, asked), _) => live::draw(canvas, state, report, *asked),
        (Page::Findings(found), _) => findings::draw(canvas, state, found),
        (Page::Evidence(report), Some(Layer::Evidence { title, .. })) => {
            findings::draw_evidence(canvas, state, report, title);
        }
        (Page::Evidence(_), _) => {}
        (Page::Changes(found), _) => changes::draw(canvas, state, found),
        (Page::Processes, _) if state.tab == Tab::Health => processes::draw_health(canvas, state),
        (Page::Processes, _) => processes::draw(canvas, state),
    }
}

/// Says why a list is empty.
fn say(canvas: &mut Canvas<'_>, state: &State, text: &str) {
    let width = canvas.width() - 2;
    canvas.text((1, state.list_top()), width, text, DIM);
}

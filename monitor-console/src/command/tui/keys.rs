//! Keys and the mouse: each changes the state, and some have an effect outside of it. The functions are pure.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::facts::Page;
use super::prompt::{HoldPrompt, Line, Prompt, RatePrompt};
use super::screen;
use super::state::{Effect, Layer, State, Tab};
use crate::command::export::Picture;
use crate::units;

/// The rows that a turn of the wheel moves.
const WHEEL_ROWS: isize = 3;

impl State {
    /// Handles a key. Returns the effect that the key has outside of the state; `None` if it has none.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Effect> {
        self.status = None;
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return Some(Effect::Quit),
            KeyCode::Char('z') if is_control => return Some(Effect::Suspend),
            KeyCode::Char('l') if is_control => return Some(Effect::Redraw),
            _ => {}
        }
        if self.is_help_shown {
            self.is_help_shown = false;
            return None;
        }
        match self.prompt.take() {
            Some(Prompt::Filter(line)) => self.edit_filter(line, key, is_control),
            Some(Prompt::Rate(prompt)) => self.edit_rate(prompt, key, is_control),
            Some(Prompt::Hold(prompt)) => self.edit_hold(prompt, key, is_control),
            None => self.press_on_screen(key, is_control),
        }
    }

    /// Takes text that was pasted: it is typed into a prompt, and ignored elsewhere, because its letters are no keys.
    pub(super) fn paste(&mut self, text: &str) {
        let line = match &mut self.prompt {
            Some(Prompt::Filter(line)) => line,
            Some(Prompt::Rate(prompt)) => prompt.line(),
            Some(Prompt::Hold(prompt)) if prompt.hold.is_some() => &mut prompt.reason,
            _ => return,
        };
        text.chars().for_each(|character| line.add(character));
        if let Some(Prompt::Filter(line)) = &self.prompt {
            self.set_filter(&line.clone());
        }
    }

    fn press_on_screen(&mut self, key: KeyEvent, is_control: bool) -> Option<Effect> {
        let page = isize::try_from(self.list_rows().max(1)).unwrap_or(1);
        match key.code {
            KeyCode::Char('d') if is_control => self.move_by(page / 2),
            KeyCode::Char('u') if is_control => self.move_by(-page / 2),
            KeyCode::Char(_) if is_control => {}
            KeyCode::Char('q') => return Some(Effect::Quit),
            KeyCode::Char('j') | KeyCode::Down => self.move_by(1),
            KeyCode::Char('k') | KeyCode::Up => self.move_by(-1),
            KeyCode::PageDown => self.move_by(page),
            KeyCode::PageUp => self.move_by(-page),
            KeyCode::Char('g') | KeyCode::Home => self.select(0),
            KeyCode::Char('G') | KeyCode::End => self.select(usize::MAX),
            KeyCode::Char(digit @ '1'..='7') => {
                let at = usize::from(u8::try_from(digit).unwrap_or(b'1') - b'1');
                self.show(Tab::ALL[at]);
            }
            KeyCode::Tab => self.show_next(1),
            KeyCode::BackTab => self.show_next(Tab::ALL.len() - 1),
            KeyCode::Enter => self.enter(),
            KeyCode::Char('u') | KeyCode::Backspace => {
                self.close();
            }
            KeyCode::Esc => self.leave(),
            KeyCode::Char('/') => {
                let text = self.filter.as_ref().map_or("", |filter| filter.as_str());
                let inner = text.strip_prefix('*').and_then(|text| text.strip_suffix('*'));
                let text = inner.filter(|inner| !inner.contains('*')).unwrap_or(text);
                self.prompt = Some(Prompt::Filter(Line(text.to_owned())));
            }
            KeyCode::Char('?') => self.is_help_shown = true,
            KeyCode::Char(' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('s') => self.sort_by(1),
            KeyCode::Char('S') => self.sort_by(-1),
            KeyCode::Char('f') => self.turn_failed(),
            KeyCode::Char('e') => self.show_failures(),
            KeyCode::Char('[') => self.go_back(),
            KeyCode::Char(']') => self.go_forward(),
            KeyCode::Char('{') => self.change_length(false),
            KeyCode::Char('}') => self.change_length(true),
            KeyCode::Char('0') => self.span.end_ns = None,
            KeyCode::Char('h') | KeyCode::Left => self.fold(true),
            KeyCode::Char('l') | KeyCode::Right => self.fold(false),
            KeyCode::Char('c') => self.is_critical_shown = !self.is_critical_shown,
            KeyCode::Char('r') => self.prompt_for_rate(),
            KeyCode::Char('b') => self.prompt = Some(Prompt::Hold(HoldPrompt::default())),
            KeyCode::Char('d') => self.show_changes(),
            KeyCode::Char('x') => return Some(Effect::Export(self.choose_picture())),
            KeyCode::Char('y') => return self.copy_command(),
            _ => {}
        }
        None
    }

    /// Copies the command that shows the same as the screen.
    fn copy_command(&mut self) -> Option<Effect> {
        let command = screen::command::describe(self);
        if command.is_empty() {
            self.status = Some("no command that can be typed shows the same".to_owned());
        }
        Some(command).filter(|command| !command.is_empty()).map(Effect::Copy)
    }

    /// Returns to the screen below; without one, removes the filter.
    fn leave(&mut self) {
        if !self.close() && self.filter.is_some() {
            self.set_filter(&Line::default());
        }
    }

    fn move_by(&mut self, rows: isize) {
        self.select(self.cursor().at.saturating_add_signed(rows));
    }

    fn show_next(&mut self, by: usize) {
        self.show(Tab::ALL[(self.tab as usize + by) % Tab::ALL.len()]);
    }

    /// Opens what the selected row leads to. A narrow screen shows the details of the row first.
    fn enter(&mut self) {
        let Some(at) = self.selected() else { return };
        let opened = match &self.page {
            Page::Functions(functions) => {
                Some(Layer::Function { name: functions[at].function.clone(), is_failed: false })
            }
            Page::Calls(found) => Some(Layer::Trace(found.calls[at].call_id)),
            Page::Kinds(kinds) => {
                let kind = &kinds[at];
                Some(Layer::Examples([&kind.function, &kind.outcome, &kind.message].map(String::clone)))
            }
            Page::Findings(found) => {
                let finding = &found.findings[at];
                Some(Layer::Evidence { title: finding.sentence.clone(), sql: finding.evidence.clone() })
            }
            Page::Changes(found) => {
                Some(Layer::Function { name: found.changes[at].function.clone(), is_failed: false })
            }
            _ => None,
        };
        let is_pane_first = !matches!(opened, Some(Layer::Function { .. })) && !self.is_pane_shown();
        match opened {
            _ if is_pane_first => self.is_pane_open = true,
            Some(above) => self.open(above),
            None if matches!(self.page, Page::Trace(_)) && !self.is_pane_open => self.turn_fold(),
            None => self.is_pane_open = false,
        }
        if self.is_pane_open {
            self.select(self.cursor().at);
        }
    }

    fn sort_by(&mut self, steps: isize) {
        if matches!(self.page, Page::Functions(_)) {
            self.sort = self.sort.step(steps);
            self.arrange();
        }
    }

    /// Switches between all calls and the failed ones.
    fn turn_failed(&mut self) {
        match (self.above.last_mut(), self.tab) {
            (Some(Layer::Function { is_failed, .. }), _) => *is_failed = !*is_failed,
            (None, Tab::Calls) => self.is_failed_only = !self.is_failed_only,
            _ => {}
        }
    }

    /// Shows the failed calls of the selected function.
    fn show_failures(&mut self) {
        if let Some(Layer::Function { is_failed, .. }) = self.above.last_mut() {
            *is_failed = true;
        } else if let Some(name) = self.selected_function() {
            self.open(Layer::Function { name, is_failed: true });
        }
    }

    /// Shows the differences between the span and the time before it.
    fn show_changes(&mut self) {
        if self.above.last() != Some(&Layer::Changes) {
            self.open(Layer::Changes);
        }
    }

    /// Returns the picture that an export writes: the trace on the screen, or all trees of the span, below the function on the
    /// screen if there is one.
    fn choose_picture(&self) -> Picture {
        let function = match self.above.last() {
            Some(Layer::Trace(call)) => return Picture::Timeline(*call),
            Some(Layer::Function { name, .. }) => name.parse().ok(),
            _ => None,
        };
        let pattern = function.or_else(|| self.filter.clone());
        Picture::Flame { period: self.span.to_period(self.now_ns), pattern }
    }

    fn go_back(&mut self) {
        if !self.span.move_back(self.now_ns) {
            self.status = Some("the span reaches back six hours already: { makes it shorter".to_owned());
        }
    }

    fn go_forward(&mut self) {
        if !self.span.move_on(self.now_ns) {
            self.status = Some("the span ends now already".to_owned());
        }
    }

    fn change_length(&mut self, is_longer: bool) {
        let is_changed = if is_longer { self.span.lengthen(self.now_ns) } else { self.span.shorten() };
        if !is_changed {
            let bound =
                if is_longer { "six hours is the longest span" } else { "a minute is the shortest span" };
            self.status = Some(bound.to_owned());
        }
    }

    /// Hides or shows the lines below the selected line of a trace. If there is nothing to hide, selects the line of
    /// the caller instead.
    fn fold(&mut self, is_hiding: bool) {
        let (Page::Trace(Some(tree)), Some(at)) = (&self.page, self.selected()) else { return };
        let line = &self.lines[at];
        let call = tree.calls[line.at].call_id;
        if is_hiding && !(line.has_more && line.is_open) {
            let caller = self.lines[..at].iter().rposition(|above| above.depth < line.depth);
            return self.select(caller.unwrap_or(at));
        }
        let is_fold = !line.fold.is_empty();
        let set = if is_fold { &mut self.opened.folds } else { &mut self.opened.closed };
        if is_fold == is_hiding {
            set.remove(&call)
        } else {
            set.insert(call)
        };
        self.arrange();
    }

    fn turn_fold(&mut self) {
        let is_open = self.selected().is_some_and(|at| self.lines[at].is_open);
        self.fold(is_open);
    }

    /// Shows only the functions that the line selects. The filter stays as it is while the line has no meaning.
    fn set_filter(&mut self, line: &Line) {
        if let Ok(filter) = line.parse_filter() {
            self.filter = filter;
        }
        self.arrange();
    }

    fn edit_filter(&mut self, mut line: Line, key: KeyEvent, is_control: bool) -> Option<Effect> {
        match key.code {
            KeyCode::Enter if line.parse_filter().is_ok() => return None,
            // The prompt stays open and says what is wrong, because the list does not show what the line says.
            KeyCode::Enter => {}
            KeyCode::Esc => {
                self.set_filter(&Line::default());
                return None;
            }
            _ => edit(&mut line, key, is_control),
        }
        self.set_filter(&line);
        self.prompt = Some(Prompt::Filter(line));
        None
    }

    fn prompt_for_rate(&mut self) {
        let filter = self.filter.as_ref().map(|filter| filter.as_str().to_owned());
        let pattern = self.selected_function().or(filter).unwrap_or_default();
        let is_on_pattern = pattern.is_empty();
        self.prompt =
            Some(Prompt::Rate(RatePrompt { pattern: Line(pattern), is_on_pattern, ..RatePrompt::default() }));
    }

    fn edit_rate(&mut self, mut prompt: RatePrompt, key: KeyEvent, is_control: bool) -> Option<Effect> {
        if prompt.is_confirming {
            // Only the key `y` sets the rate.
            if let (KeyCode::Char('y' | 'Y'), Ok((pattern, rate))) = (key.code, prompt.parse()) {
                return Some(Effect::SetRate(pattern, rate));
            }
            self.status = Some("no rate was set".to_owned());
            return None;
        }
        match key.code {
            KeyCode::Esc => {
                self.status = Some("no rate was set".to_owned());
                return None;
            }
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Up | KeyCode::Down => {
                prompt.is_on_pattern = !prompt.is_on_pattern;
            }
            KeyCode::Enter if prompt.is_on_pattern => prompt.is_on_pattern = false,
            KeyCode::Enter => match prompt.parse() {
                Ok(_) => prompt.is_confirming = true,
                Err(reason) => self.status = Some(reason),
            },
            _ => edit(prompt.line(), key, is_control),
        }
        self.prompt = Some(Prompt::Rate(prompt));
        None
    }

    fn edit_hold(&mut self, mut prompt: HoldPrompt, key: KeyEvent, is_control: bool) -> Option<Effect> {
        match (prompt.hold, key.code) {
            (_, KeyCode::Esc) => {
                self.status = Some("the breakers are as before".to_owned());
                return None;
            }
            (None, KeyCode::Char('o')) => prompt.hold = Some("open"),
            (None, KeyCode::Char('c')) => prompt.hold = Some("closed"),
            (None, KeyCode::Char('a')) => return Some(Effect::Hold("auto", "no reason given".to_owned())),
            (None, _) => {}
            (Some(hold), KeyCode::Enter) => match units::parse_reason(&prompt.reason.0) {
                Ok(reason) => return Some(Effect::Hold(hold, reason)),
                Err(reason) => self.status = Some(reason),
            },
            (Some(_), _) => edit(&mut prompt.reason, key, is_control),
        }
        self.prompt = Some(Prompt::Hold(prompt));
        None
    }

    /// Takes a movement of the mouse: a click selects a row or a tab, another one opens the row, the wheel moves, and dragging over
    /// the picture of durations opens the calls in the box.
    pub(super) fn point(&mut self, mouse: MouseEvent) {
        if self.prompt.is_some() || self.is_help_shown {
            return;
        }
        let at = (mouse.column, mouse.row);
        match mouse.kind {
            MouseEventKind::Drag(MouseButton::Left) => self.draw_box(at),
            MouseEventKind::Up(MouseButton::Left) => self.end_box(),
            MouseEventKind::Down(MouseButton::Left) if self.begin_box(at) => {}
            MouseEventKind::ScrollDown => self.move_by(WHEEL_ROWS),
            MouseEventKind::ScrollUp => self.move_by(-WHEEL_ROWS),
            MouseEventKind::Down(MouseButton::Left) if mouse.row == screen::TABS_ROW => {
                if let Some(tab) = screen::find_tab(self, mouse.column) {
                    self.show(tab);
                }
            }
            MouseEventKind::Down(MouseButton::Left) => {
                let Some(below) = mouse.row.checked_sub(self.list_top()) else { return };
                let at = self.cursor().top + usize::from(below);
                if below >= self.list_rows() || at >= self.rows.len() {
                    return;
                }
                if at == self.cursor().at {
                    self.enter();
                } else {
                    self.select(at);
                }
            }
            _ => {}
        }
    }
}

/// Edits a line by a key.
fn edit(line: &mut Line, key: KeyEvent, is_control: bool) {
    match key.code {
        KeyCode::Char('w') if is_control => line.remove_word(),
        KeyCode::Char('u') if is_control => line.0.clear(),
        KeyCode::Char(_) if is_control => {}
        KeyCode::Char(character) => line.add(character),
        KeyCode::Backspace => line.remove_last(),
        _ => {}
    }
}

//! The stored texts of errors: the chain of sources, types that stand for errors, and broken errors.

use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::rc::Rc;
use std::sync::Arc;

use crate::{stored_text_and_type, text};

/// An error with a text and perhaps a source.
#[derive(Debug)]
struct Layer {
    text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}
impl Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}
impl Error for Layer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Makes a chain of errors from their texts, the outermost first.
fn layers(texts: &[&str]) -> Layer {
    let mut error = None;
    for text in texts.iter().rev() {
        error = Some(Box::new(Layer {
            text: (*text).into(),
            source: error.take().map(|error: Box<Layer>| error as _),
        }));
    }
    *error.unwrap()
}

#[test]
fn the_whole_chain_of_sources_is_told() {
    assert_eq!(text!(layers(&["outer", "middle", "root"])), "outer: middle: root");
    assert_eq!(text!(&&layers(&["outer", "root"])), "outer: root");
}

#[test]
fn what_stands_for_an_error_tells_its_chain_too() {
    let plain: Box<dyn Error> = Box::new(layers(&["outer", "root"]));
    assert_eq!(text!(plain), "outer: root");
    let shared: Box<dyn Error + Send + Sync> = Box::new(layers(&["outer", "root"]));
    assert_eq!(text!(shared), "outer: root");
    assert_eq!(text!(Arc::new(layers(&["outer", "root"]))), "outer: root");
    assert_eq!(text!(Rc::new(layers(&["outer", "root"]))), "outer: root");
    let reference: &dyn Error = &layers(&["outer", "root"]);
    assert_eq!(text!(reference), "outer: root");
    assert_eq!(text!(*reference), "outer: root");
    assert_eq!(text!(std::io::Error::other(layers(&["outer", "root"]))), "outer: root");
}

#[test]
fn a_source_that_was_said_is_not_said_twice() {
    assert_eq!(text!(layers(&["cannot pay: no money", "no money"])), "cannot pay: no money");
    assert_eq!(text!(layers(&["a: b: c", "b: c", "c"])), "a: b: c");
    assert_eq!(text!(layers(&["same", "same", "same"])), "same");
    assert_eq!(text!(layers(&["outer", "", "root"])), "outer: root");
}

#[test]
fn what_is_no_error_is_told_by_display_then_debug_then_name() {
    struct Displayed;
    impl Display for Displayed {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("displayed")
        }
    }
    #[derive(Debug)]
    enum Failure {
        #[expect(dead_code, reason = "read by Debug")]
        NotFound { id: u8 },
    }
    struct Opaque;
    assert_eq!(text!("plain"), "plain");
    assert_eq!(text!(String::from("owned")), "owned");
    assert_eq!(text!(std::borrow::Cow::Borrowed("either")), "either");
    assert_eq!(text!(Displayed), "displayed");
    assert_eq!(text!(Failure::NotFound { id: 3 }), "NotFound { id: 3 }");
    assert_eq!(text!(()), "()");
    assert_eq!(
        text!(Opaque),
        "[capture::errors::what_is_no_error_is_told_by_display_then_debug_then_name::Opaque]"
    );
    assert_eq!(text!(404), "404");
}

#[test]
fn the_bounds_of_a_generic_function_decide() {
    fn with_error<E: Error>(error: &E) -> String {
        text!(*error)
    }
    fn with_display<E: Display>(error: E) -> String {
        text!(error)
    }
    fn with_debug<E: Debug>(error: E) -> String {
        text!(error)
    }
    fn unbounded<E>(error: E) -> String {
        text!(error)
    }
    assert_eq!(with_error(&layers(&["outer", "root"])), "outer: root");
    assert_eq!(with_display(layers(&["outer", "root"])), "outer");
    assert_eq!(with_debug("x"), "x");
    assert_eq!(unbounded(1), "[i32]");
}

#[test]
fn a_long_text_keeps_a_kibibyte_and_says_its_length() {
    for error in ["x".repeat(10_000), "é".repeat(5_000)] {
        for text in [text!(error), text!(layers(&[&error]))] {
            assert!(text.ends_with("… [10000 bytes, truncated]"), "{text}");
            assert!(text.len() > 900 && text.len() < 1100, "{}", text.len());
        }
    }
    let text = text!(layers(&[&"x".repeat(10_000), "root"]));
    assert!(text.ends_with("x… [truncated]"), "{text}");
    let fits = "x".repeat(1000);
    assert_eq!(text!(fits), fits);
    assert_eq!(text!(layers(&[&fits])), fits);
}

#[test]
fn a_text_of_any_length_is_told_whole_whatever_its_source_says() {
    let all: String = "some words ".chars().cycle().take(400).collect();
    let layer = || Some(std::any::type_name::<Layer>().to_owned());
    for length in 0..=all.len() {
        let text = &all[..length];
        for (texts, told) in [
            (&[text][..], text.to_owned()),
            (&[text, text], text.to_owned()),
            (&[text, "root"], format!("{text}: root")),
        ] {
            let error = layers(texts);
            let stored = stored_text_and_type(|writer| {
                use monitor_runtime::capture::dispatch::WriteError as _;
                (&&&&&monitor_runtime::capture::dispatch::ErrorValue(&error)).__monitor_write(writer);
            });
            assert_eq!(stored, (told, layer()));
        }
    }
}

#[test]
fn a_circle_of_sources_ends() {
    #[derive(Debug)]
    struct Circle;
    impl Display for Circle {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("again")
        }
    }
    impl Error for Circle {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&Circle)
        }
    }
    assert_eq!(text!(Circle), "again");
}

#[test]
fn an_error_whose_display_panics_is_told_so() {
    #[derive(Debug)]
    struct Broken;
    impl Display for Broken {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            std::panic::resume_unwind(Box::new("broken"))
        }
    }
    impl Error for Broken {}
    let expected = "Broken: panicked while being captured]";
    assert!(text!(Broken).ends_with(expected));
    assert!(text!(layers(&["outer"])).eq("outer"));
}

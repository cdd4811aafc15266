//! The files of the pages: styles, scripts and icon. They are in the binary, and their addresses hold a hash of their content,
//! so that a browser keeps each version for good.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::app::App;

/// A file of the pages.
pub(super) struct Asset {
    stem: &'static str,
    extension: &'static str,
    kind: &'static str,
    content: &'static str,
}

/// The style of all pages.
pub(super) const STYLE: Asset = Asset {
    stem: "style",
    extension: "css",
    kind: "text/css; charset=utf-8",
    content: include_str!("assets/style.css"),
};
/// The script of all pages, which are readable without it.
pub(super) const SCRIPT: Asset = Asset {
    stem: "script",
    extension: "js",
    kind: "text/javascript; charset=utf-8",
    content: include_str!("assets/script.js"),
};
/// The script that lays charts over the pictures of series.
pub(super) const CHARTS: Asset = Asset {
    stem: "charts",
    extension: "js",
    kind: "text/javascript; charset=utf-8",
    content: include_str!("assets/charts.js"),
};
/// uPlot 1.6.32, which draws these charts, as npm has it; its licence (MIT) is beside it.
pub(super) const UPLOT: Asset = Asset {
    stem: "uplot",
    extension: "js",
    kind: "text/javascript; charset=utf-8",
    content: include_str!("assets/uplot/uPlot.iife.min.js"),
};
/// The style of uPlot.
pub(super) const UPLOT_STYLE: Asset = Asset {
    stem: "uplot",
    extension: "css",
    kind: "text/css; charset=utf-8",
    content: include_str!("assets/uplot/uPlot.min.css"),
};
/// The icon.
pub(super) const ICON: Asset =
    Asset { stem: "icon", extension: "svg", kind: "image/svg+xml", content: include_str!("assets/icon.svg") };

const ALL: [&Asset; 6] = [&STYLE, &SCRIPT, &CHARTS, &UPLOT, &UPLOT_STYLE, &ICON];

impl Asset {
    /// Returns the name of the file: its stem, a hash of its content, its extension.
    fn file_name(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.content.hash(&mut hasher);
        format!("{}-{:016x}.{}", self.stem, hasher.finish(), self.extension)
    }

    /// Returns the address.
    pub(super) fn address(&self, base_path: &str) -> String {
        format!("{base_path}/assets/{}", self.file_name())
    }
}

/// Answers with a file.
#[allow(clippy::unused_async, reason = "a handler is asynchronous")]
pub(super) async fn get(State(_): State<Arc<App>>, Path(name): Path<String>) -> Response {
    match ALL.into_iter().find(|asset| asset.file_name() == name) {
        Some(asset) => {
            let keep = "public, max-age=31536000, immutable";
            let headers = [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, keep)];
            (headers, asset.content).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Answers with the icon at `/favicon.ico`, which a browser requests for a page that names no icon, such as plain
/// text.
#[allow(clippy::unused_async, reason = "a handler is asynchronous")]
pub(super) async fn icon() -> Response {
    ([(header::CONTENT_TYPE, ICON.kind)], ICON.content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_are_small_and_ask_nobody_else() {
        let bytes: usize = [&SCRIPT, &CHARTS].iter().map(|script| script.content.len()).sum();
        assert!(bytes <= 12 * 1024, "our scripts have {bytes} bytes");
        for asset in ALL {
            let outside = asset.content.replace("http://www.w3.org/2000/svg", "");
            // A comment of uPlot says where it is from.
            let outside = outside.replace("/*! https://github.com/leeoniya/uPlot (v1.6.32) */", "");
            assert!(!outside.contains("http:") && !outside.contains("https:"), "{}", asset.stem);
        }
    }
}

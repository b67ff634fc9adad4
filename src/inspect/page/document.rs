//! One HTML document with all that it needs: styles, scripts, data. It may load nothing, and its browser holds it to that.

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// Which page it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Of a store.
    Store,
    /// Of runs.
    Runs,
}

impl Part {
    fn script(self) -> &'static str {
        match self {
            Self::Store => include_str!("assets/store.js"),
            Self::Runs => include_str!("assets/runs.js"),
        }
    }
}

/// What the browser allows the page: pictures that it carries, its own styles and scripts.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The document of a page.
///
/// # Errors
/// If the data cannot be written as JSON.
pub(crate) fn document(title: &str, part: Part, data: &impl Serialize) -> Result<String> {
    let written = serde_json::to_value(data).map_err(|e| Error::refused("page", "data that JSON can hold", e))?;
    let Value::Object(mut object) = written else { return Err(Error::refused("page", "an object", "another")) };
    object.insert("title".to_owned(), title.into());
    object.insert("tool_version".to_owned(), env!("CARGO_PKG_VERSION").into());
    let mut data = Value::Object(object);
    data.sort_all_objects();
    // Whatever a name holds, it ends no script.
    let data = data.to_string().replace('<', "\\u003c");
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let [style, charts] = [include_str!("assets/page.css"), include_str!("assets/charts.js")];
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{style}</style>\n</head>\n<body>\n<script id=\"data\" type=\"application/json\">{data}</script>\n\
         <script>\n{charts}</script>\n<script>\n{}</script>\n</body>\n</html>\n",
        part.script()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_data() {
        let evil = "</script><script>alert(1)</script>";
        let page = document(evil, Part::Store, &serde_json::json!({ "name": evil })).unwrap();
        assert_eq!(page.matches("</script>").count(), 3, "those of the page");
        assert!(page.contains("<title>&lt;/script>") && page.contains("\\u003c/script>"));
        assert!(!page.contains("http:") && !page.contains("https:") || page.matches("http").count() == 2, "{POLICY}");
    }
}

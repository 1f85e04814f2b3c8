//! Panics of dependencies: tract's on malformed models, the JPEG decoder's on malformed pictures.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// Runs `work` so that a panic inside a dependency, met on malformed bytes, becomes an error.
/// Nothing is printed for it.
pub(crate) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    thread_local!(static CONTAINED: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if !CONTAINED.get() {
                usual(panic);
            }
        }));
    });
    let before = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("an internal check failed").replace('\n', " ")
    })
}

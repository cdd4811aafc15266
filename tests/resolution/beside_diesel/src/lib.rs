//! Only resolved, never built.

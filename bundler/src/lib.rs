//! modferry

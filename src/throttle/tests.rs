//! Simulations come here.

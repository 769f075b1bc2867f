//! The bounds of a canonical event, as `docs/events.md` states them.
//!
//! [`EventBuilder::finish`](crate::EventBuilder::finish) holds them, so that a source refuses with the sender's own bytes
//! what the engine would refuse without them. A test compares them with the engine's `domain::limits`.

/// Bytes of one event as JSON.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;
/// Identifiers in one event.
pub const EVENT_IDENTIFIERS_MAX: usize = 32;
/// Traits in one event.
pub const EVENT_TRAITS_MAX: usize = 300;
/// Products in one event.
pub const EVENT_PRODUCTS_MAX: usize = 500;
/// Bytes of an event's name.
pub const EVENT_NAME_BYTES_MAX: usize = 512;
/// Bytes of a message id.
pub const MESSAGE_ID_BYTES_MAX: usize = 256;
/// Bytes of an identifier's type.
pub const IDENTIFIER_TYPE_BYTES_MAX: usize = 64;
/// Bytes of an identifier's value.
pub const IDENTIFIER_VALUE_BYTES_MAX: usize = 512;
/// Bytes of a trait's name.
pub const TRAIT_NAME_BYTES_MAX: usize = 256;
/// Bytes of a trait's value as JSON. The engine counts without white space, the builder as it was sent.
pub const TRAIT_VALUE_BYTES_MAX: usize = 8 * 1024;
/// Purposes in one event's consent.
pub const PURPOSES_MAX: usize = 64;
/// Bytes of the name of a purpose, and of a regulation.
pub const PURPOSE_NAME_BYTES_MAX: usize = 128;
/// Bytes of each text that says in what consent was given.
pub const PROOF_BYTES_MAX: usize = 256;
/// Significant digits of an amount: what a product's `price`, `quantity` and `position` may have.
pub const AMOUNT_DIGITS_MAX: usize = 28;

#[cfg(test)]
mod tests {
    use weft_domain::limits as engine;

    #[test]
    fn the_bounds_are_the_engines() {
        assert_eq!(super::EVENT_BYTES_MAX, engine::EVENT_BYTES_MAX);
        assert_eq!(super::EVENT_IDENTIFIERS_MAX, engine::EVENT_IDENTIFIERS_MAX);
        assert_eq!(super::EVENT_TRAITS_MAX, engine::EVENT_TRAITS_MAX);
        assert_eq!(super::EVENT_PRODUCTS_MAX, engine::EVENT_PRODUCTS_MAX);
        assert_eq!(super::EVENT_NAME_BYTES_MAX, engine::EVENT_NAME_BYTES_MAX);
        assert_eq!(super::PURPOSES_MAX, engine::PURPOSES_MAX);
        assert_eq!(super::PURPOSE_NAME_BYTES_MAX, engine::PURPOSE_NAME_BYTES_MAX);
        assert_eq!(super::PROOF_BYTES_MAX, engine::PROOF_BYTES_MAX);
        assert_eq!(super::MESSAGE_ID_BYTES_MAX, engine::MESSAGE_ID_BYTES_MAX);
        assert_eq!(super::IDENTIFIER_TYPE_BYTES_MAX, engine::IDENTIFIER_TYPE_BYTES_MAX);
        assert_eq!(super::IDENTIFIER_VALUE_BYTES_MAX, engine::IDENTIFIER_VALUE_BYTES_MAX);
        assert_eq!(super::TRAIT_NAME_BYTES_MAX, engine::TRAIT_NAME_BYTES_MAX);
        assert_eq!(super::TRAIT_VALUE_BYTES_MAX, engine::TRAIT_VALUE_BYTES_MAX);
    }
}

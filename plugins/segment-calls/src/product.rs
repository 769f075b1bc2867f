//! Products of commerce events, as Segment's e-commerce spec has them in `properties`.
//!
//! A list in `properties.products` moves to the event's own `products` and is not kept twice; a list in which anything is no
//! object stays where it is. The calls about one product have its fields beside others in `properties`: they stay there, where
//! conditions look for them, and are copied.

use weft_plugin::{EventBuilder, Fields, Json, ProductBuilder, RawValue, fields, limits, string_or_number};

/// Events about one product whose fields are in `properties` (Segment's e-commerce spec, version 2).
const ABOUT_ONE: [&str; 6] = [
    "Product Clicked",
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Product Added to Wishlist",
    "Product Removed from Wishlist",
];

/// Gives an event its properties and products.
pub(crate) fn split<'a>(event: &mut EventBuilder<'a>, properties: Option<&'a RawValue>) {
    event.properties = properties.filter(|properties| properties.get() != "{}").map(Json::from);
    let about_one = event.name.as_deref().is_some_and(|name| ABOUT_ONE.contains(&name));
    // Most events have no products: they are not looked into.
    let Some(fields) = properties.filter(|raw| about_one || raw.get().contains("\"products\"")).and_then(fields) else { return };
    match fields.iter().find(|(name, _)| name == "products").and_then(|(_, list)| products(list)) {
        Some(products) => {
            event.products = products;
            let others = fields.iter().filter(|(name, _)| name != "products");
            let others = Json::object(others.map(|(name, value)| (name.as_ref(), *value)));
            event.properties = Some(others).filter(|others| others.text() != "{}");
        }
        None if about_one => event.products.extend(only_known(&fields)),
        None => {}
    }
}

fn products(list: &RawValue) -> Option<Vec<ProductBuilder<'_>>> {
    let list: Vec<&RawValue> = serde_json::from_str(list.get()).ok()?;
    if list.len() > limits::EVENT_PRODUCTS_MAX {
        return None;
    }
    list.into_iter()
        .map(|raw| {
            let (mut product, mut rest) = (ProductBuilder::default(), Vec::new());
            for (name, value) in fields(raw)? {
                if !known(&mut product, &name, value) {
                    rest.push((name, value));
                }
            }
            if !rest.is_empty() {
                product.properties = Some(Json::object(rest.iter().map(|(name, value)| (name.as_ref(), *value))));
            }
            Some(product)
        })
        .collect()
}

/// The product that properties tell of, where they name it.
fn only_known<'a>(fields: &Fields<'a>) -> Option<ProductBuilder<'a>> {
    let mut product = ProductBuilder::default();
    // `id` alone is too often something else's here.
    for (name, value) in fields.iter().filter(|(name, _)| name != "id") {
        known(&mut product, name, value);
    }
    (product.id.is_some() || product.sku.is_some()).then_some(product)
}

/// Puts a field in its place; false where it has none, or its value does not fit there.
fn known<'a>(product: &mut ProductBuilder<'a>, name: &str, value: &'a RawValue) -> bool {
    let text = match name {
        "product_id" => &mut product.id,
        "id" if product.id.is_none() => &mut product.id,
        "sku" => &mut product.sku,
        "name" => &mut product.name,
        "brand" => &mut product.brand,
        "category" => &mut product.category,
        "variant" => &mut product.variant,
        "coupon" => &mut product.coupon,
        "price" => return amount(&mut product.price, value),
        "quantity" => return amount(&mut product.quantity, value),
        "position" => return amount(&mut product.position, value),
        _ => return false,
    };
    put(text, string_or_number(value), value)
}

fn amount<'a>(slot: &mut Option<&'a str>, value: &'a RawValue) -> bool {
    put(slot, ProductBuilder::amount(value.get()), value)
}

fn put<T>(slot: &mut Option<T>, read: Option<T>, value: &RawValue) -> bool {
    let fits = read.is_some();
    if fits {
        *slot = read;
    }
    // Null says that there is nothing, and is kept nowhere.
    fits || value.get() == "null"
}

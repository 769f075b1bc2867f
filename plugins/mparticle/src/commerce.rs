//! Products and sums of commerce events, under the names of Segment's e-commerce specification, so that `properties.total` of an
//! `Order Completed` is the same from both kinds of SDKs.

use std::borrow::Cow;

use weft_plugin::{EventBuilder, Fields, ProductBuilder, RawValue, Rejection, limits, string_or_number};

use crate::object::{Object, with_attributes};

/// Fields of the data that become something else than a property of their own name.
pub(crate) const TAKEN: [&str; 4] = ["product_action", "promotion_action", "product_impressions", "currency_code"];

/// Names of fields, and the properties that they become; others keep their names.
const RENAMED: [(&str, &str); 9] = [
    ("transaction_id", "order_id"),
    ("total_amount", "total"),
    ("tax_amount", "tax"),
    ("shipping_amount", "shipping"),
    ("coupon_code", "coupon"),
    ("checkout_step", "step"),
    ("checkout_options", "options"),
    ("product_action_list", "list"),
    ("product_list_source", "list_source"),
];

/// Events about one product, whose fields are copied into the properties: conditions look for `properties.category`.
const ABOUT_ONE: [&str; 6] = [
    "Product Clicked",
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Product Added to Wishlist",
    "Product Removed from Wishlist",
];

/// Names of a product's fields, and of the properties that they are copied to.
const COPIED: [(&str, &str); 9] = [
    ("id", "product_id"),
    ("name", "name"),
    ("brand", "brand"),
    ("category", "category"),
    ("variant", "variant"),
    ("position", "position"),
    ("price", "price"),
    ("quantity", "quantity"),
    ("coupon_code", "coupon"),
];

/// Gives a commerce event its products, and returns the properties that it has besides.
///
/// # Errors
/// A part of it is not what it must be, or there are too many products.
pub(crate) fn split<'a>(event: &mut EventBuilder<'a>, data: &Object<'a>) -> Result<Fields<'a>, Rejection> {
    let mut properties = Fields::new();
    let action = data.object("product_action")?;
    let mut list = action.list("products")?.into_iter().map(|product| (product, None)).collect::<Vec<_>>();
    for impression in data.list("product_impressions")? {
        let impression = Object::read(impression, "product_impressions")?;
        let name = impression.get("product_impression_list");
        list.extend(impression.list("products")?.into_iter().map(|product| (product, name)));
    }
    if list.len() > limits::EVENT_PRODUCTS_MAX {
        let words = format!("there are {} products, and {} are allowed", list.len(), limits::EVENT_PRODUCTS_MAX);
        return Err(Rejection::new("too_many_products", words));
    }
    for (name, value) in action.0.into_iter().filter(|(name, _)| !matches!(&**name, "action" | "products")) {
        let property = RENAMED.iter().find(|(known, _)| *known == name).map(|(_, property)| Cow::Borrowed(*property));
        properties.push((property.unwrap_or(name), value));
    }
    properties.extend(data.get("currency_code").map(|value| ("currency".into(), value)));
    properties.extend(data.object("promotion_action")?.get("promotions").map(|value| ("promotions".into(), value)));
    if let [(one, None)] = list[..]
        && event.name.as_deref().is_some_and(|name| ABOUT_ONE.contains(&name))
    {
        let one = Object::read(one, "products")?;
        for (name, property) in COPIED {
            let is_free = !properties.iter().any(|(known, _)| known == property);
            properties.extend(one.get(name).filter(|_| is_free).map(|value| (property.into(), value)));
        }
    }
    for (raw, list) in list {
        event.products.push(product(raw, list)?);
    }
    Ok(properties)
}

/// A product, and the list of impressions that it stood in.
fn product<'a>(raw: &'a RawValue, list: Option<&'a RawValue>) -> Result<ProductBuilder<'a>, Rejection> {
    let (object, mut product, mut rest) = (Object::read(raw, "products")?, ProductBuilder::default(), Vec::new());
    for (name, value) in object.without(&["custom_attributes"]) {
        if !known(&mut product, name, value) {
            rest.push((name, value));
        }
    }
    rest.extend(list.map(|list| ("list", list)));
    product.properties = with_attributes(&rest, object.get("custom_attributes"))?;
    Ok(product)
}

/// Puts a field in its place; false where it has none, or its value does not fit there.
fn known<'a>(product: &mut ProductBuilder<'a>, name: &str, value: &'a RawValue) -> bool {
    let text = match name {
        "id" => &mut product.id,
        "name" => &mut product.name,
        "brand" => &mut product.brand,
        "category" => &mut product.category,
        "variant" => &mut product.variant,
        "coupon_code" => &mut product.coupon,
        "price" => return put(&mut product.price, ProductBuilder::amount(value.get())),
        "quantity" => return put(&mut product.quantity, ProductBuilder::amount(value.get())),
        "position" => return put(&mut product.position, ProductBuilder::amount(value.get())),
        _ => return false,
    };
    put(text, string_or_number(value))
}

fn put<T>(slot: &mut Option<T>, read: Option<T>) -> bool {
    let fits = read.is_some();
    if fits {
        *slot = read;
    }
    fits
}

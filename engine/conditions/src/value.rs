//! An event's JSON as values of CEL: borrowed, and opened only where a condition looks.
//!
//! Objects are maps whose fields keep their order, so that no outcome depends on a hash; lists are lists. Numbers without a fraction or an
//! exponent are `int` (`uint` where they are too large for it), all others `double`. Strings, truth values and null are what they are.

use std::sync::Arc;

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Iterator, Sizer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelNull, CelString, CelUInt, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use serde_json::value::RawValue;

use crate::json::{Fields, elements, fields, string};
use crate::limits::{DEPTH_MAX, ELEMENTS_MAX};

/// An object.
#[derive(Clone, Debug)]
pub(crate) struct Object<'v> {
    names: Vec<CelString<'v>>,
    values: Vec<&'v RawValue>,
    depth: usize,
}

impl<'v> Object<'v> {
    /// An event.
    pub(crate) fn of(event: Fields<'v>) -> Self {
        Object::at(event, DEPTH_MAX)
    }

    fn at(fields: Fields<'v>, depth: usize) -> Self {
        let (names, values) = fields.into_iter().map(|(name, value)| (CelString::from(name), value)).unzip();
        Object { names, values, depth }
    }

    fn find(&self, key: &dyn Val) -> Option<&'v RawValue> {
        let key = key.downcast_ref::<CelString>()?.inner();
        let place = self.names.iter().position(|name| name.inner() == key)?;
        Some(self.values[place])
    }
}

/// A value as CEL has it.
fn value<'v>(raw: &'v RawValue, depth: usize) -> Result<Box<dyn Val + 'v>, ExecutionError> {
    let fails = |what: &str| ExecutionError::function_error("event", what);
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        // Half of a pair of surrogates is JSON by its grammar, and no text.
        Some(b'"') => Box::new(CelString::from(string(raw).ok_or_else(|| fails("a string is no text"))?)),
        Some(b'{') => {
            let depth = depth.checked_sub(1).ok_or_else(|| fails("it is too deep"))?;
            Box::new(Object::at(fields(raw).ok_or_else(|| fails("a name is no text"))?, depth))
        }
        Some(b'[') => {
            let depth = depth.checked_sub(1).ok_or_else(|| fails("it is too deep"))?;
            let elements = elements(raw).ok_or_else(|| fails("a list is none"))?;
            if elements.len() > ELEMENTS_MAX {
                return Err(fails("a list is too long"));
            }
            let elements = elements.into_iter().map(|element| value(element, depth));
            Box::new(CelList::from(elements.collect::<Result<Vec<_>, _>>()?))
        }
        Some(b't' | b'f') => Box::new(CelBool::from(text == "true")),
        Some(b'n') => Box::new(CelNull),
        _ => number(text),
    })
}

fn number(text: &str) -> Box<dyn Val> {
    if let Ok(number) = text.parse::<i64>() {
        return Box::new(CelInt::from(number));
    }
    match text.parse::<u64>() {
        Ok(number) => Box::new(CelUInt::from(number)),
        Err(_) => Box::new(CelDouble::from(text.parse::<f64>().unwrap_or(f64::NAN))),
    }
}

impl Val for Object<'_> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }
    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }
    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }
    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }
    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }
    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }
    fn equals(&self, other: &dyn Val) -> bool {
        let (Some(indexer), Some(sizer)) = (other.as_indexer(), other.as_sizer()) else { return false };
        sizer.size() == self.size()
            && self.names.iter().zip(&self.values).all(|(name, raw)| match (value(raw, self.depth), indexer.get(name)) {
                (Ok(mine), Ok(theirs)) => mine.equals(&*theirs),
                _ => false,
            })
    }
    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(self.clone())
    }
}

impl Container for Object<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.find(key).is_some())
    }
}

impl Indexer for Object<'_> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        match self.find(key) {
            Some(raw) => value(raw, self.depth).map(|value| CowVal::Owned(value as Box<dyn Val + 'w>)),
            None => {
                let name = key.downcast_ref::<CelString>().map(|key| key.inner().to_owned()).unwrap_or_default();
                Err(ExecutionError::NoSuchKey(Arc::new(name)))
            }
        }
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

impl Sizer for Object<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(self.values.len() as i64)
    }
}

impl Iterable for Object<'_> {
    fn iter<'b, 'w>(&'b self) -> Box<dyn Iterator<'b, 'w> + 'b>
    where
        Self: 'w,
    {
        Box::new(Names(self.names.iter()))
    }
}

/// The names of an object, in the order in which they came.
struct Names<'b, 'v>(std::slice::Iter<'b, CelString<'v>>);

impl<'b, 'w, 'v: 'w> Iterator<'b, 'w> for Names<'b, 'v> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'w)> {
        self.0.next().map(|name| name as &(dyn Val + 'w))
    }
}

//! The engine: how guests are compiled, how many there may be, and the clock that interrupts them.
//!
//! Every number has its reason in `limits.rs` or here. Nothing here knows a plugin.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use super::guest::Guest;
use crate::contract::Kind;
use crate::contract::wit::imports;
use crate::limits;

/// The sizes of the pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolSizes {
    /// Instances alive at once.
    pub(crate) instances_max: u32,
    /// Linear memory of one instance.
    pub(crate) memory_bytes_max: u64,
    /// Memory that a place in the pool keeps between instances.
    pub(crate) keep_resident_bytes: usize,
}

/// wasmtime's engine with our pool, our imports and our clock.
pub(crate) struct Engine {
    wasmtime: wasmtime::Engine,
    source: Linker<Guest>,
    transform: Linker<Guest>,
    destination: Linker<Guest>,
    places: Arc<Semaphore>,
    sizes: PoolSizes,
}

impl Engine {
    /// Makes the pool and starts the clock, which ends with the engine.
    pub(crate) fn new(sizes: PoolSizes) -> wasmtime::Result<Self> {
        let wasmtime = wasmtime::Engine::new(&config(sizes))?;
        let ticking = wasmtime.weak();
        std::thread::Builder::new()
            .name("weft-epoch".to_owned())
            .spawn(move || {
                while let Some(engine) = ticking.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(limits::TICK);
                }
            })
            .map_err(wasmtime::Error::from)?;
        Ok(Self {
            source: linker(&wasmtime, Kind::Source)?,
            transform: linker(&wasmtime, Kind::Transform)?,
            destination: linker(&wasmtime, Kind::Destination)?,
            places: Arc::new(Semaphore::new(sizes.instances_max as usize)),
            sizes,
            wasmtime,
        })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// The imports of a kind's world, and nothing else.
    pub(crate) fn linker(&self, kind: Kind) -> &Linker<Guest> {
        match kind {
            Kind::Source => &self.source,
            Kind::Transform => &self.transform,
            Kind::Destination => &self.destination,
        }
    }

    /// A place in the pool, waited for: an instance is never refused for want of one.
    pub(crate) async fn place(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Whether an instance may keep its place while it is idle. Some places are never kept so, or stages that keep instances could
    /// take them all, and everybody else would wait for ever.
    pub(crate) fn is_roomy(&self) -> bool {
        let free = self.places.available_permits();
        let free_min = self.sizes.instances_max as usize * limits::PLACES_FREE_PERCENT_MIN / 100;
        free > free_min
    }

    /// The largest memory that a place offers.
    pub(crate) fn memory_bytes_max(&self) -> u64 {
        self.sizes.memory_bytes_max
    }
}

fn config(sizes: PoolSizes) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(sizes.instances_max)
        .total_core_instances(sizes.instances_max.saturating_mul(limits::CORE_INSTANCES_MAX))
        .total_memories(sizes.instances_max.saturating_mul(limits::MEMORIES_MAX))
        .total_tables(sizes.instances_max.saturating_mul(limits::TABLES_MAX))
        // One for the call and one that the store keeps warm.
        .total_stacks(sizes.instances_max.saturating_mul(2))
        .max_core_instances_per_component(limits::CORE_INSTANCES_MAX)
        .max_memories_per_component(limits::MEMORIES_MAX)
        .max_tables_per_component(limits::TABLES_MAX)
        .table_elements(limits::TABLE_ELEMENTS_MAX)
        .max_memory_size(usize::try_from(sizes.memory_bytes_max).unwrap_or(usize::MAX))
        // Zeroing what a guest touched is cheaper than giving the pages back and faulting them in again, as long as it is
        // more than the guest touches; it makes a fresh instance for each batch affordable.
        .linear_memory_keep_resident(sizes.keep_resident_bytes)
        // Few warm places, so that resident memory follows what runs at once and not the size of the pool.
        .max_unused_warm_slots(8);

    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        // Epochs and not fuel: no accounting, and the guest yields. With both the guest would be half as fast again.
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        // The same bits on every machine: transforms are pure.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false);
    config
}

fn linker(engine: &wasmtime::Engine, kind: Kind) -> wasmtime::Result<Linker<Guest>> {
    fn same(guest: &mut Guest) -> &mut Guest {
        guest
    }
    let mut linker = Linker::new(engine);
    imports::types::add_to_linker::<_, HasSelf<Guest>>(&mut linker, same)?;
    imports::log::add_to_linker::<_, HasSelf<Guest>>(&mut linker, same)?;
    if kind != Kind::Transform {
        imports::http::add_to_linker::<_, HasSelf<Guest>>(&mut linker, same)?;
        imports::crypto::add_to_linker::<_, HasSelf<Guest>>(&mut linker, same)?;
        imports::kv::add_to_linker::<_, HasSelf<Guest>>(&mut linker, same)?;
    }
    match kind {
        Kind::Source => {
            imports::identity::add_to_linker::<_, HasSelf<Guest>>(&mut linker, same)?;
            imports::output::add_to_linker::<_, HasSelf<Guest>>(&mut linker, same)?;
        }
        Kind::Transform => {}
        Kind::Destination => {
            imports::email::add_to_linker::<_, HasSelf<Guest>>(&mut linker, same)?;
            imports::files::add_to_linker::<_, HasSelf<Guest>>(&mut linker, same)?;
        }
    }
    Ok(linker)
}

/// The interfaces that a kind's world imports; `types` is always there.
pub(crate) fn interfaces(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Source => &["types", "log", "http", "crypto", "kv", "identity", "output"],
        Kind::Transform => &["types", "log"],
        Kind::Destination => &["types", "log", "http", "email", "crypto", "kv", "files"],
    }
}

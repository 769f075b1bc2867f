//! What the documentation shows is what the engine reads.

/// The JSON examples of `docs/events.md`, in order.
fn examples() -> Vec<String> {
    let page = include_str!("../../../docs/events.md");
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
    blocks.map(|(block, _)| block.to_owned()).collect()
}

#[test]
fn the_examples_of_events_are_events() {
    let examples = examples();
    let [events @ .., profile] = examples.as_slice() else { panic!("there are no examples") };
    assert_eq!(events.len(), 3);
    for event in events {
        weft_domain::event::Event::parse(event.as_bytes()).unwrap_or_else(|error| panic!("{error}: {event}"));
    }
    let profile: weft_domain::profile::Profile = serde_json::from_str(profile).expect("a profile");
    assert_eq!(profile.events_total, 42);
}

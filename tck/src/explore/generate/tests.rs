use super::*;

fn drawn(seed: u64, count: usize) -> Vec<Inputs> {
    trees(seed, count)
        .iter()
        .map(|tree| tree.current())
        .collect()
}

#[test]
fn a_seed_gives_the_same_inputs_however_many_are_drawn() {
    assert_eq!(drawn(7, 20), drawn(7, 20));
    assert_eq!(drawn(7, 20)[..5], drawn(7, 5)[..]);
    assert_ne!(drawn(7, 5), drawn(8, 5));
}

#[test]
fn everything_is_drawn_sooner_or_later() {
    for value in [false, true] {
        let plans = drawn(0, 600).into_iter();
        let inputs: Vec<Input> = plans
            .filter_map(|plan| match plan {
                Inputs::EventSourced(inputs) if !value => Some(inputs),
                Inputs::Value(inputs) if value => Some(inputs),
                _ => None,
            })
            .flatten()
            .collect();
        every_input(&inputs);
        let deletes =
            |input: &Input| matches!(input, Input::Process(asks) if asks.contains(&Ask::Delete));
        assert_eq!(inputs.iter().any(deletes), value);
    }
}

fn every_input(inputs: &[Input]) {
    assert!(inputs.contains(&Input::Passivate));
    assert!(inputs.iter().any(|input| matches!(input, Input::Two(..))));
    let asks = inputs.iter().flat_map(|input| match input {
        Input::Process(asks) | Input::Two(_, asks) => asks.as_slice(),
        Input::Passivate => &[],
    });
    every_ask(&asks.collect::<Vec<_>>());
}

fn every_ask(asks: &[&Ask]) {
    for text in [Text::Plain, Text::Unicode, Text::Empty] {
        assert!(
            asks.contains(&&Ask::Value(text)) && asks.contains(&&Ask::Fail(text)),
            "{text:?}"
        );
    }
    for target in [TargetId::Fresh, TargetId::Shared] {
        assert!(asks.contains(&&Ask::Forward(target)) && asks.contains(&&Ask::Effect(target)));
    }
    assert!(asks.contains(&&Ask::AsynchronousEffect));
}

#[test]
fn only_an_entity_with_a_stream_is_passivated() {
    let process = || Input::Process(Vec::new());
    let two = || Input::Two(TargetId::Fresh, Vec::new());
    use Input::Passivate;
    let inputs = vec![
        Passivate,
        two(),
        Passivate,
        process(),
        two(),
        Passivate,
        Passivate,
        process(),
    ];
    assert_eq!(
        effective(inputs),
        [two(), process(), two(), Passivate, process()]
    );
    assert_eq!(effective(vec![Passivate]), []);
}

use super::*;

fn drawn(seed: u64, count: usize) -> Vec<Vec<Input>> {
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
    let inputs: Vec<Input> = drawn(0, 200).concat();
    let asks: Vec<&Ask> = inputs
        .iter()
        .flat_map(|input| match input {
            Input::Process(asks) | Input::Two(_, asks) => asks.as_slice(),
            Input::Passivate => &[],
        })
        .collect();
    assert!(inputs.contains(&Input::Passivate));
    assert!(inputs.iter().any(|input| matches!(input, Input::Two(..))));
    for text in [Text::Plain, Text::Unicode, Text::Empty] {
        assert!(
            asks.contains(&&Ask::Emit(text)) && asks.contains(&&Ask::Fail(text)),
            "{text:?}"
        );
    }
    for target in [Target::Fresh, Target::Shared] {
        assert!(asks.contains(&&Ask::Forward(target)) && asks.contains(&&Ask::Effect(target)));
    }
    assert!(asks.contains(&&Ask::AsynchronousEffect));
}

#[test]
fn only_an_entity_with_a_stream_is_passivated() {
    let process = || Input::Process(Vec::new());
    let two = || Input::Two(Target::Fresh, Vec::new());
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

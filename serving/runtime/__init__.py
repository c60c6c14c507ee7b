"""Programs that go out with an exported model; they import each other and nothing of the project."""

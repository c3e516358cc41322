/// The version of this build: of every program and of the package.
public let batonVersion = "0.1.0"

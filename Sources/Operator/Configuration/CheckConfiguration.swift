public import CRTP
public import Control
public import StrictYAML

/// Where a director's configuration comes from, each time that it is read.
public struct ConfigurationSource: Equatable, Sendable {
    public var path: String
    /// What stands in for a part of the file: `BATOND_CRTP__LISTEN` for `crtp.listen`.
    public var environment: [String: String]

    public init(path: String, environment: [String: String] = [:]) {
        self.path = path
        self.environment = environment
    }

    /// What the names of such variables begin with.
    public static var prefix: String { "BATOND_" }

    /// Reads it and all that it names. Takes its time: not for the control core's thread.
    public func load() -> LoadedConfiguration { LoadedConfiguration.load(path, environment: environment) }
}

/// What became of a director's configuration file.
public struct LoadedConfiguration: Sendable {
    /// As the user named it.
    public var file: String
    /// nil when a problem is an error.
    public var configuration: DirectorConfiguration?
    /// The keys that `crtp.keys` names, read from their files; nil when a problem is an error.
    public var keys: KeyRing?
    /// Errors and warnings in the order of the file's lines.
    public var problems: [ConfigurationProblem]

    /// Reads the file at `path`, what the environment gives instead of parts of it, and every key file.
    public static func load(_ path: String, environment: [String: String] = [:]) -> LoadedConfiguration {
        do throws(ConfigurationProblem) {
            let file = try YAMLFile.load(path)
            return decode(try file.overridden(by: environment, prefix: ConfigurationSource.prefix))
        } catch {
            return LoadedConfiguration(file: path, configuration: nil, keys: nil, problems: [error])
        }
    }

    /// The same from text; `name` is what problems call the file, and relative key files count from its directory.
    public static func parse(_ text: String, name: String) -> LoadedConfiguration {
        do throws(ConfigurationProblem) {
            return decode(try YAMLFile.parse(text, name: name))
        } catch {
            return LoadedConfiguration(file: name, configuration: nil, keys: nil, problems: [error])
        }
    }

    private static func decode(_ file: YAMLFile) -> LoadedConfiguration {
        let (value, problems) = file.decode { section -> ConfigurationReader? in
            var reader = ConfigurationReader()
            reader.read(section)
            return reader
        }
        return LoadedConfiguration(
            file: file.name, configuration: value?.configuration, keys: value?.keys, problems: problems)
    }
}

/// `batond --check-config`: everything that can be known of a file without starting anything.
public func checkConfiguration(_ path: String) -> (DirectorConfiguration?, [ConfigurationProblem]) {
    let loaded = LoadedConfiguration.load(path)
    return (loaded.configuration, loaded.problems)
}

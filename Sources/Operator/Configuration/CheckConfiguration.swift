public import Control
public import CRTP
import Foundation
public import StrictYAML

/// What became of a director's configuration file.
public struct LoadedConfiguration: Sendable {
    /// nil when a problem is an error.
    public var configuration: DirectorConfiguration?
    /// The keys that `crtp.keys` names, read from their files; nil when a problem is an error.
    public var keys: KeyRing?
    /// Errors and warnings in the order of the file's lines.
    public var problems: [ConfigurationProblem]

    /// Reads the file at `path` and every key file that it names.
    public static func load(_ path: String) -> LoadedConfiguration {
        do throws(ConfigurationProblem) {
            return decode(try YAMLFile.load(path))
        } catch {
            return LoadedConfiguration(configuration: nil, keys: nil, problems: [error])
        }
    }

    /// The same from text; `name` is what problems call the file, and relative key files count from its directory.
    public static func parse(_ text: String, name: String) -> LoadedConfiguration {
        do throws(ConfigurationProblem) {
            return decode(try YAMLFile.parse(text, name: name))
        } catch {
            return LoadedConfiguration(configuration: nil, keys: nil, problems: [error])
        }
    }

    private static func decode(_ file: YAMLFile) -> LoadedConfiguration {
        let (value, problems) = file.decode { section -> ConfigurationReader? in
            var reader = ConfigurationReader()
            reader.read(section)
            return reader
        }
        return LoadedConfiguration(configuration: value?.configuration, keys: value?.keys, problems: problems)
    }
}

/// `batond --check-config`: everything that can be known of a file without starting anything.
public func checkConfiguration(_ path: String) -> (DirectorConfiguration?, [ConfigurationProblem]) {
    let loaded = LoadedConfiguration.load(path)
    return (loaded.configuration, loaded.problems)
}

/// What `--check-config` prints. Good for every program that reads its file with StrictYAML.
public struct ConfigurationReport: Codable, Sendable, Equatable {
    public var file: String
    public var valid: Bool
    public var problems: [ConfigurationProblem]

    public init(file: String, problems: [ConfigurationProblem]) {
        self.file = file
        valid = !problems.contains(where: \.isError)
        self.problems = problems
    }

    /// 0 when the file can be used, warnings or not; 1 otherwise.
    public var exitCode: Int32 { valid ? 0 : 1 }

    /// One problem a line, and a closing line.
    public var text: String {
        let errors = problems.count(where: \.isError)
        let warnings = problems.count - errors
        func counted(_ count: Int, _ what: String) -> String { "\(count) \(what)\(count == 1 ? "" : "s")" }
        let verdict =
            switch (errors, warnings) {
            case (0, 0): "valid"
            case (0, _): "valid, \(counted(warnings, "warning"))"
            case (_, 0): "not valid, \(counted(errors, "error"))"
            default: "not valid, \(counted(errors, "error")), \(counted(warnings, "warning"))"
            }
        return (problems.map(\.description) + ["\(file): \(verdict)"]).joined(separator: "\n")
    }

    /// One line of JSON.
    public var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }
}

/// Answer to `reload`: what changed, or what would.
public struct ReloadStatus: Codable, Equatable, Sendable {
    public var file = ""
    /// False for a dry run.
    public var applied = false
    public var changes: [ConfigurationChange] = []
    /// Why a reload would be refused; only in the answer to a dry run, otherwise it is an error.
    public var refusal: String?
    /// What the file's reader warns of, one a line.
    public var warnings: [String] = []

    public init() {}
}

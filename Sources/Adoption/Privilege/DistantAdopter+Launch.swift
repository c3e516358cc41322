import Glibc

extension DistantAdopter {
    /// Starts this program again as an adopting process, and waits until that is ready. `executable` must understand
    /// `AdoptingSettings.subcommand`.
    package static func launch(
        _ settings: AdoptingSettings, executable: String = "/proc/self/exe", logLevel: String = "info"
    ) throws -> DistantAdopter {
        let (near, far) = try DescriptorChannel.pair()
        defer { close(far.descriptor) }
        let words =
            ["baton-agent", AdoptingSettings.subcommand, "--channel=\(childChannel)", "--log-level=\(logLevel)"]
            + settings.arguments
        let adopter = DistantAdopter(near, process: try spawn(executable, words, channel: far.descriptor))
        try adopter.waitUntilReady()
        return adopter
    }

    /// The channel's number in the other process.
    private static let childChannel: CInt = 3

    private static func spawn(_ executable: String, _ words: [String], channel: CInt) throws(SystemFailure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, channel, childChannel)
        var arguments = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var process = pid_t()
        let result = posix_spawn(&process, executable, &actions, nil, &arguments, environ)
        guard result == 0 else { throw SystemFailure("starting the adopting process", code: result) }
        return process
    }
}

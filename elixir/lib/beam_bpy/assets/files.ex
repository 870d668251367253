defmodule BeamBpy.Assets.Files do
  @moduledoc false
  # Files on the machine of the caller: sources, and results that appear complete or not at all.

  alias BeamBpy.Error

  @type result :: :ok | {:error, Error.t()}

  # No system has longer paths, in bytes.
  @longest_path 4096

  # As many as Linux follows.
  @most_links 40

  @doc "Reads a file of at most so many bytes."
  @spec read(Path.t(), pos_integer()) :: {:ok, binary()} | {:error, Error.t()}
  def read(path, most) do
    with :ok <- check_readable(path),
         {:ok, data} <- read_at_most(path, most + 1),
         :ok <- check_size(data, most, shown(path)),
         do: {:ok, data}
  end

  @doc "Checks the size of the content of a file. `what` is the beginning of the error."
  @spec check_size(binary(), pos_integer(), String.t()) :: result()
  def check_size(<<>>, _most, what), do: error(:empty, "#{what} is empty")

  def check_size(data, most, what) when byte_size(data) > most,
    do: error(:efbig, "#{what} has more than #{most} bytes (`:max_bytes`)")

  def check_size(_data, _most, _what), do: :ok

  @doc "Checks that a file can be written. Blender does its work before the file is written, so this comes first."
  @spec check_writable(Path.t()) :: result()
  def check_writable(path) do
    final = without_links(path, @most_links)

    case File.stat(final) do
      {:ok, %{type: :regular} = stat} -> check_not_read_only(stat, path)
      {:ok, %{type: :directory}} -> cannot_write(path, :eisdir, "it is a folder")
      {:ok, _other} -> cannot_write(path, :einval, "it is not a regular file")
      {:error, :enoent} -> final |> Path.dirname() |> check_folder(path)
      {:error, reason} -> cannot_write(path, reason)
    end
  end

  # The superuser may write to each file, so the mode counts, too.
  defp check_not_read_only(%{access: access, mode: mode}, path) do
    if access in [:write, :read_write] and Bitwise.band(mode, 0o200) != 0,
      do: :ok,
      else: cannot_write(path, :eacces, "the file is read-only")
  end

  @doc "Checks that files can be written into a folder, which need not exist."
  @spec check_folder(Path.t(), Path.t()) :: result()
  def check_folder(folder, path) do
    case File.stat(folder) do
      {:ok, %{type: :directory, access: access}} when access in [:write, :read_write] -> :ok
      {:ok, %{type: :directory}} -> cannot_write(path, :eacces)
      {:ok, _other} -> cannot_write(path, :enotdir, "#{shown(folder)} is not a folder")
      {:error, :enoent} -> folder |> Path.expand() |> Path.dirname() |> check_folder(path)
      {:error, reason} -> cannot_write(path, reason)
    end
  end

  @doc """
  Writes files. Each appears complete or not at all. They get their names when all of them are written.

  Missing folders are created. A link stays a link: the file that it leads to is replaced.
  """
  @spec write([{Path.t(), binary()}]) :: result()
  def write(files) do
    places =
      for {path, data} <- files do
        final = without_links(path, @most_links)
        %{path: path, final: final, part: part(final), data: data}
      end

    created = places |> Enum.flat_map(&missing_folders(&1.final)) |> Enum.uniq()

    with {:error, _error} = error <- write_all(places) do
      for %{part: part} <- places, do: File.rm(part)
      # Only empty folders are removed. The innermost come first.
      created |> Enum.sort_by(&byte_size/1, :desc) |> Enum.each(&File.rmdir/1)
      error
    end
  end

  defp write_all(places) do
    with :ok <- each(places, &write_part/1), do: each(places, &rename/1)
  end

  defp write_part(place) do
    # Renaming would replace a read-only file, against the intention of its owner.
    with :ok <- check_writable(place.path),
         :ok <- File.mkdir_p(Path.dirname(place.final)),
         :ok <- File.write(place.part, place.data, [:exclusive, :sync]),
         do: keep_mode(place)
  end

  defp keep_mode(%{final: final, part: part}) do
    case File.stat(final) do
      {:ok, %{mode: mode}} -> File.chmod(part, Bitwise.band(mode, 0o7777))
      {:error, _reason} -> :ok
    end
  end

  defp rename(place), do: File.rename(place.part, place.final)

  defp each(places, function) do
    Enum.reduce_while(places, :ok, fn place, :ok ->
      case function.(place) do
        :ok -> {:cont, :ok}
        {:error, %Error{}} = error -> {:halt, error}
        {:error, reason} -> {:halt, cannot_write(place.path, reason)}
      end
    end)
  end

  defp part(final) do
    name = ".beam_bpy.#{Base.encode16(:rand.bytes(8), case: :lower)}.part"
    final |> Path.dirname() |> Path.join(name)
  end

  defp missing_folders(path) do
    folder = path |> Path.expand() |> Path.dirname()
    if File.exists?(folder), do: [], else: [folder | missing_folders(folder)]
  end

  # The path to which links lead. A path that contains too many of them stays, and the system refuses it.
  defp without_links(path, 0), do: path

  defp without_links(path, rest) do
    case File.read_link(path) do
      {:ok, next} -> next |> Path.expand(Path.dirname(path)) |> without_links(rest - 1)
      {:error, _reason} -> path
    end
  end

  defp check_readable(path) do
    case File.stat(path) do
      {:ok, %{type: :regular}} -> :ok
      {:ok, %{type: :directory}} -> cannot_read(path, :eisdir, "it is a folder")
      {:ok, _other} -> cannot_read(path, :einval, "it is not a regular file")
      {:error, reason} -> if content?(path), do: content(path), else: cannot_read(path, reason)
    end
  end

  # Another program can make the file longer after its size is known.
  defp read_at_most(path, most) do
    with {:ok, result} <- File.open(path, [:read, :raw, :binary], &:file.read(&1, most)),
         {:ok, data} <- result do
      {:ok, data}
    else
      :eof -> {:ok, <<>>}
      {:error, reason} -> cannot_read(path, reason)
    end
  end

  # No file has such a name, but many files have such a content.
  defp content?(path) do
    byte_size(path) > @longest_path or String.contains?(path, ["\0", "\n"]) or
      not String.valid?(path)
  end

  defp content(data) do
    error(
      :enoent,
      "#{shown(data)} is no path; if it is the content of a file, pass it as `{:bytes, data}`"
    )
  end

  defp cannot_read(path, reason, text \\ nil),
    do: error(reason, "cannot read #{shown(path)}: #{text || words(reason)}")

  defp cannot_write(path, reason, text \\ nil),
    do: error(reason, "cannot write #{shown(path)}: #{text || words(reason)}")

  defp words(reason), do: reason |> :file.format_error() |> to_string()

  # A path is shown as a whole, so that the user can find it.
  defp shown(text) do
    limit = if content?(text), do: 40, else: @longest_path
    inspect(text, binaries: :as_strings, printable_limit: limit)
  end

  @doc "An error with a sentence."
  @spec error(atom(), String.t()) :: {:error, Error.t()}
  def error(reason, sentence), do: {:error, %Error{kind: :file, reason: reason, text: sentence}}
end

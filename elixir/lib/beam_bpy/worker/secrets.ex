defmodule BeamBpy.Worker.Secrets do
  @moduledoc false
  # Options of a worker that must not be shown: the cookie, and the environment, which often has passwords.
  #
  # Supervisors and servers keep options in their states, and reports of OTP show these. A function is shown as
  # `#Function<...>`, so each of these values is behind one.

  @keys [:cookie, :env]

  @doc """
  Hides the values of the options that are secret.

      iex> alias BeamBpy.Worker.Secrets
      iex> options = Secrets.hide(cookie: :secret, log: :info)
      iex> inspect(options) =~ "secret"
      false
      iex> Secrets.reveal(options[:cookie])
      :secret
      iex> Secrets.hide(options) == options
      true
  """
  @spec hide(keyword()) :: keyword()
  def hide(options) do
    for {key, value} <- options, do: {key, if(key in @keys, do: hidden(value), else: value)}
  end

  defp hidden(nil), do: nil
  defp hidden(value) when is_function(value, 0), do: value
  defp hidden(value), do: fn -> value end

  @doc "The value of an option that may be hidden."
  @spec reveal(term()) :: term()
  def reveal(hidden) when is_function(hidden, 0), do: hidden.()
  def reveal(value), do: value

  @doc "The value of an option as an error may show it."
  @spec show(atom(), term()) :: String.t()
  def show(key, _value) when key in @keys,
    do: "this value (it is not shown, because it may be secret)"

  def show(_key, value), do: inspect(value)
end
